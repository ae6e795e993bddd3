"""The head of a page: what was run, where, and what came of it."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opp_darts_jax.reporting import charts
from opp_darts_jax.reporting.run_files import Run
from opp_darts_jax.reporting.styles import shown

Record = Mapping[str, Any]


class Head(NamedTuple):
  """The head of a page.

  Attributes:
    what: 'Search' or 'Training'.
    title: the run's folder.
    state: 'finished', 'running', 'interrupted' or ''.
    sentence: of its result.
    facts: in reading order.
    command: '' if it is not known.
    config: every field of it.
  """

  what: str
  title: str
  state: str
  sentence: str
  facts: Sequence[tuple[str, str]]
  command: str
  config: Sequence[tuple[str, str]]


def head(run: Run) -> Head:
  """What the run is, and what it came to, in a sentence."""
  config, data = run.config, run.config.get('data') or {}
  path = run.workdir.resolve()
  last = run.sessions[-1] if run.sessions else {}
  done, total = len(run.epochs), config.get('epochs', '?')
  images = (run.inputs.get('data') or {}).get('num_train')
  method, schedule = config.get('method'), config.get('schedule') or {}
  versions = last.get('versions') or {}
  if not run.is_search:
    method = schedule = None
  space = run.space.get('name') or config.get('space')
  facts: list[tuple[str, Any]] = [
    ('space', space),
    ('method', method),
    ('schedule', _schedule(schedule) if schedule else None),
    ('data', _data(data, images, run.inputs.get('data') or {})),
    ('network', _size(config)),
    ('epochs', f'{done} of {total}'),
    ('seed', _seeds(run)),
    ('device', last.get('device')),
    ('started', _date(run.sessions[0]['started']) if run.sessions else None),
    ('wall time', duration(run.seconds) if run.seconds else None),
    ('ended by', run.results.get('ended_by')),
    ('versions', ', '.join(f'{n} {v}' for n, v in versions.items())),
  ]
  return Head(
    'Search' if run.is_search else 'Training',
    shown('/'.join(path.parts[-2:]).lstrip('/')),
    run.state,
    _sentence(run),
    [(name, shown(str(value))) for name, value in facts if value],
    shown(last.get('command') or ''),
    [(name, shown(value)) for name, value in leaves(config).items()],
  )


def _schedule(schedule: Mapping[str, Any]) -> str:
  name = str(schedule.get('name'))
  if name == 'progressive' and 'stage_epochs' in schedule:
    return (
      f'progressive, a stage every {schedule["stage_epochs"]} epochs, the '
      f'{schedule.get("selection", "?")} operation loss enters'
    )
  return name


def _data(
  data: Mapping[str, Any], images: int | None, given: Mapping[str, Any]
) -> str | None:
  source = data.get('source')
  if source is None:
    return None
  said = str(source)
  if images is not None:
    said += f', {images:,} images to train'
    if given.get('num_test') is not None:
      said += f', {given["num_test"]:,} to test'
  shape = given.get('image_shape')
  return f'{said}, {"×".join(map(str, shape))}' if shape else said


def _size(config: Mapping[str, Any]) -> str | None:
  if 'layers' not in config:
    return None
  return (
    f'{config["layers"]} cells, {config.get("channels")} channels, batch '
    f'{config.get("batch_size")}'
  )


def _seeds(run: Run) -> str:
  seeds = run.results.get('seeds')
  return (
    ', '.join(map(str, seeds)) if seeds else str(run.config.get('seed', ''))
  )


def _sentence(run: Run) -> str:
  """What a run came to, or how far it is."""
  results, epochs = run.results, run.epochs
  if 'test_accuracy' in results:
    said = f'The network reads {charts.percent(results["test_accuracy"])} of '
    said += 'the test images right'
    by_seed = results.get('test_accuracy_by_seed')
    if by_seed:
      each = ', '.join(charts.percent(v) for v in by_seed.values())
      spread = results.get('test_accuracy_std')
      said += f', the mean of {len(by_seed)} seeds ({each}'
      said += (
        f'; standard deviation {100 * spread:.2f} points)' if spread else ')'
      )
    return f'{said}.'
  if not epochs:
    return 'No epoch has ended yet.'
  known = [r for r in epochs if r.get('eval_accuracy') is not None]
  said = f'After {len(epochs)} epochs '
  last = epochs[-1]
  if known:
    said += 'the supernet reads '
    said += f'{charts.percent(known[-1]["eval_accuracy"])} of D_val right'
  elif last.get('train_accuracy') is not None:
    said += f'the training accuracy is {charts.percent(last["train_accuracy"])}'
  else:
    said += 'there are no accuracies yet'
  if run.is_search and run.genotype is not None:
    cell = run.genotype.cells[0]
    skips = run.genotype.num_skips(cell.kind)
    name = 'cell' if cell.kind == 'cell' else f'{shown(cell.kind)} cell'
    said += f'; its {name} has {skips or "no"} skip '
    said += f'connection{"" if skips == 1 else "s"} on {len(cell.edges)} edges'
  return f'{said}.'


def duration(seconds: float) -> str:
  """A time as text."""
  if seconds < 60:
    return f'{seconds:.1f} s'
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours} h {minutes} min' if hours else f'{minutes} min {rest} s'


def _date(when: float) -> str:
  return time.strftime('%Y-%m-%d %H:%M', time.localtime(when))


def leaves(tree: Mapping[str, Any], name: str = '') -> dict[str, str]:
  """Fields of a config by their name."""
  found: dict[str, str] = {}
  for key, value in tree.items():
    at = f'{name}.{key}' if name else key
    if isinstance(value, Mapping):
      found |= leaves(value, at)
    else:
      found[at] = str(value)
  return found
