"""The head of a page: what was run, where, and what came of it."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opp_darts_jax.config import fields
from opp_darts_jax.recorded import TRUTH_TEST
from opp_darts_jax.reporting import amounts, derived, titles
from opp_darts_jax.reporting.run_files import RunFiles
from opp_darts_jax.reporting.styles import shown

Record = Mapping[str, Any]


class Head(NamedTuple):
  """The head of a page.

  Attributes:
    what: 'Search' or 'Training'.
    title: the run's folder.
    state: 'finished', 'running', 'interrupted' or ''.
    level: of collapse, as it is judged; '' of a training.
    sentence: of its result.
    facts: in reading order.
    command: '' if it is not known.
    config: every field of it.
  """

  what: str
  title: str
  state: str
  level: str
  sentence: str
  facts: Sequence[tuple[str, str]]
  command: str
  config: Sequence[tuple[str, str]]


def head(run: RunFiles, level: str = '') -> Head:
  """What the run is, and what it came to, in a sentence.

  Args:
    run: its files.
    level: of collapse, as it is judged; '' is not known.
  """
  config, data = run.config, run.config.get('data') or {}
  path = run.workdir.resolve()
  last = run.sessions[-1] if run.sessions else {}
  images = (run.inputs.get('data') or {}).get('num_train')
  method, schedule = config.get('method'), config.get('schedule') or {}
  versions = last.get('versions') or {}
  if not run.is_search:
    method = schedule = None
  ended = run.results.get('ended_by')
  space = run.space.get('name') or config.get('space')
  facts: list[tuple[str, Any]] = [
    ('space', space),
    ('method', method and str(method).replace(',', ', ')),
    ('schedule', _schedule(schedule) if schedule else None),
    ('data', _data(data, images, run.inputs.get('data') or {})),
    ('network', _size(config)),
    ('epochs', _epochs(run)),
    ('seed', _seeds(run)),
    ('device', last.get('device')),
    ('started', _date(run.sessions[0]['started']) if run.sessions else None),
    ('wall time', amounts.duration(run.seconds) if run.seconds else None),
    ('ended by', ended if ended != 'all epochs' else None),
    ('genotype', _genotype(config)),
    ('versions', ', '.join(f'{n} {v}' for n, v in versions.items())),
  ]
  return Head(
    'Search' if run.is_search else 'Training',
    shown('/'.join(path.parts[-2:]).lstrip('/')),
    run.state,
    level,
    _sentence(run, level),
    [(name, shown(str(value))) for name, value in facts if value],
    shown(last.get('command') or ''),
    [(name, shown(value)) for name, value in leaves(config).items()],
  )


def _schedule(schedule: Mapping[str, Any]) -> str:
  name = str(schedule.get('name'))
  if name == 'progressive' and 'stage_epochs' in schedule:
    every = schedule['stage_epochs']
    return (
      f'progressive, a stage every {"" if every == 1 else f"{every} "}'
      f'epoch{"" if every == 1 else "s"}, the '
      f'{schedule.get("selection", "?")} operation loss enters'
    )
  if name == 'plain':
    return 'plain, all operations at once'
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


def _genotype(config: Mapping[str, Any]) -> str | None:
  given = config.get('genotype')
  if given is None:
    return None
  # One that was passed itself is a long text; the cells show it.
  return 'given as text' if str(given).lstrip().startswith('{') else str(given)


def _size(config: Mapping[str, Any]) -> str | None:
  if 'layers' not in config:
    return None
  return (
    f'{config["layers"]} cells, {config.get("channels")} channels, batch '
    f'{config.get("batch_size")}'
  )


def _epochs(run: RunFiles) -> str | None:
  done: int | None = len(run.epochs)
  if 'seeds' in run.results:  # Their lines are in a folder a seed.
    done = run.results.get('epochs')
  total = run.config.get('epochs', '?')
  return None if done is None else f'{done} of {total}'


def _seeds(run: RunFiles) -> str:
  seeds = run.results.get('seeds')
  return (
    ', '.join(map(str, seeds)) if seeds else str(run.config.get('seed', ''))
  )


def _of_training(run: RunFiles) -> str:
  """What a training came to, and at what cost."""
  results = run.results
  count = sum(map(sum, results.get('confusion') or ()))
  # Or training images that were held out.
  images = shown(str(results.get('tested_on') or 'test images'))
  images = f'{count:,} {images}' if count else images
  said = (
    f'The network classifies {amounts.percent(results["test_accuracy"])} of '
    f'{images} correctly'
  )
  by_seed = results.get('test_accuracy_by_seed')
  if by_seed:
    each = ', '.join(amounts.percent(v) for v in by_seed.values())
    spread = results.get('test_accuracy_std')
    said += f', the mean of {len(by_seed)} seeds ({each}'
    said += (
      f'; standard deviation {100 * spread:.2f} points)' if spread else ')'
    )
  if results.get('num_weights'):
    said += f'; it has {results["num_weights"]:,} weights'
    if run.seconds:
      said += f' and was trained in {amounts.duration(run.seconds)}'
  return f'{said}.'


def _of_search(run: RunFiles, level: str) -> str:
  """What a search has found, whether it collapsed, and at what cost."""
  epochs = run.epochs
  said = f'In {amounts.counted(len(epochs), "epoch")}' if epochs else ''
  if epochs and run.seconds:
    said += f' ({amounts.duration(run.seconds)})'
  if run.genotype is not None:
    cell = run.genotype[derived.with_cells(run.genotype.kinds, run.space)[0]]
    skips = amounts.counted(
      run.genotype.num_skips(cell.kind), 'skip connection'
    )
    name = titles.kind_name(cell.kind).lower()
    has = 'found' if run.state in ('finished', '') else 'has so far found'
    said += f'{" the" if said else "The"} search {has} a {name} with {skips} '
    said += 'on its '
    said += amounts.counted(len(cell.edges), 'edge')
    said += f', judged {level}' if level else ''
  if epochs:
    said += f'; {_supernet(epochs, run.results)}'
  return f'{said}{_worth(run.found or epochs[-1])}.'


def _supernet(epochs: Sequence[Record], results: Record) -> str:
  """How good the shared weights are."""
  # One that ends between two evaluations is evaluated once more.
  lines = (*epochs, results)
  known = [r for r in lines if r.get('eval_accuracy') is not None]
  if known:
    share = amounts.percent(known[-1]['eval_accuracy'])
    return (
      f'the supernet classifies {share} of D_val, the images that alphas '
      'learn from, correctly'
    )
  if epochs[-1].get('train_accuracy') is not None:
    share = amounts.percent(epochs[-1]['train_accuracy'])
    return f'the training accuracy is {share}'
  return 'there are no accuracies yet'


def _worth(last: Record) -> str:
  """What a table says of the cell, if one knows it."""
  known = {
    name.removeprefix(TRUTH_TEST): value
    for name, value in last.items()
    if name.startswith(TRUTH_TEST) and value is not None
  }
  if not known:
    return ''
  data, value = next(iter(known.items()))
  return (
    f'; trained, the cell reaches {amounts.percent(value)} on {shown(data)}, '
    'by the table of its space'
  )


def _sentence(run: RunFiles, level: str) -> str:
  """What a run came to, or how far it is."""
  if 'test_accuracy' in run.results:
    return _of_training(run)
  if not run.epochs and not run.found:
    return 'No epoch has ended yet.'
  if run.is_search:
    return _of_search(run, level)
  said = f'After {amounts.counted(len(run.epochs), "epoch")} '
  return f'{said}{_supernet(run.epochs, run.results)}.'


def _date(when: float) -> str:
  return time.strftime('%Y-%m-%d %H:%M', time.localtime(when))


def leaves(config: Mapping[str, Any]) -> dict[str, str]:
  """Fields of a config by their name."""
  return {name: str(value) for name, value in fields.leaves(config).items()}
