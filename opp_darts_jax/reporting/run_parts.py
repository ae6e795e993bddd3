"""What the page of any run shows: its head, curves, times, truth and test."""

import base64
import io
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opp_darts_jax.reporting import charts
from opp_darts_jax.reporting.charts import Axis, Chart, Series
from opp_darts_jax.reporting.run_files import Run
from opp_darts_jax.reporting.styles import shown

Record = Mapping[str, Any]

_SPLITS = {'train': 'c0', 'val': 'c1', 'eval': 'c2', 'test': 'c2'}
_SAID = {'train': 'train', 'val': 'val', 'eval': 'D_val', 'test': 'test'}
_TEST, _REGRET, _RANK = 'truth_test_', 'truth_regret_', 'truth_rank'
_NAMED = 30  # classes whose confusion is a table
_SIDE = 112  # pixels of a mistake's picture, at most


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


class Confusion(NamedTuple):
  """Which classes are taken for which.

  Attributes:
    names: of the classes.
    rows: for each class counts, with their share of the row; [] of many.
    pairs: (class, taken for, count) of the most frequent mistakes.
  """

  names: Sequence[str]
  rows: Sequence[Sequence[tuple[int, float]]]
  pairs: Sequence[tuple[str, str, int]]


class Mistake(NamedTuple):
  """A test image that was taken for something else."""

  picture: str
  own: str
  predicted: str
  probability: str
  own_probability: str


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


def curves(run: Run, axis: Axis) -> list[Chart]:
  """Losses, accuracies, learning rate, time and steps per second."""
  found = [
    charts.line_chart('Loss', _splits(run, 'loss', axis), axis),
    charts.line_chart(
      'Accuracy', _splits(run, 'accuracy', axis), axis, shown=charts.percent
    ),
  ]
  rates = [r for r in run.records if r.get('learning_rate') is not None]
  rate = [(axis.of(r), float(r['learning_rate'])) for r in rates]
  found.append(
    charts.line_chart('Learning rate', [Series('', 'c0', rate)], axis)
  )
  return [chart for chart in found if chart.lines]


def _splits(run: Run, metric: str, axis: Axis) -> list[Series]:
  """A line per split: of its measurements within epochs if there are many."""
  found = []
  for split, css in _SPLITS.items():
    key = f'{split}_{metric}'
    points = [r for r in run.records if r.get(key) is not None]
    inside = [r for r in points if r['kind'] == 'train']
    whole = [r for r in points if r['kind'] == 'epoch']
    points = inside if len(inside) > len(whole) else whole
    line = [(axis.of(r), float(r[key])) for r in points]
    found.append(Series(_SAID[split], css, line))
  return found


def times(run: Run, axis: Axis) -> tuple[list[Chart], list[tuple[str, str]]]:
  """Charts of time, and what it went into."""
  steps: dict[int, list[float]] = {}
  beside: dict[int, float] = {}
  for line in run.times:
    epoch, count, seconds = line['epoch'], line['steps'], line['seconds']
    if count:
      own = steps.setdefault(epoch, [0, 0.0])
      own[0], own[1] = own[0] + count, own[1] + seconds
    else:
      beside[epoch] = beside.get(epoch, 0.0) + seconds
  if not steps or axis.unit != 'epoch':
    return [], []
  found = [
    charts.line_chart(
      'Seconds per epoch',
      [
        Series('steps', 'c0', [(e + 1, s) for e, (_, s) in steps.items()]),
        Series('beside', 'c1', [(e + 1, s) for e, s in beside.items()]),
      ],
      axis,
      bounds=(0.0, None),
    ),
    charts.line_chart(
      'Steps per second',
      [Series('', 'c0', [(e + 1, n / s) for e, (n, s) in steps.items() if s])],
      axis,
      bounds=(0.0, None),
    ),
  ]
  total = sum(s for _, s in steps.values())
  facts = [
    ('steps', f'{sum(n for n, _ in steps.values()):,.0f} in {duration(total)}'),
    ('beside them', duration(sum(beside.values()))),
  ]
  return [chart for chart in found if chart.lines], facts


def costs(run: Run) -> list[tuple[str, str]]:
  """What the network takes."""
  found = []
  network = run.results.get('network') or {}
  if 'weights' in network:
    found.append(('weights', f'{network["weights"]:,}'))
  elif 'num_weights' in run.results:
    found.append(('weights', f'{run.results["num_weights"]:,}'))
  if 'multiply_adds' in network:
    found.append(
      ('multiply-adds', f'{network["multiply_adds"] / 1e6:,.2f} M an image')
    )
  if network.get('uncounted'):
    found.append(
      ('not among these', ', '.join(map(shown, network['uncounted'])))
    )
  if 'layers' in network:
    found.append(
      ('network', f'{network["layers"]} cells, {network["channels"]} channels')
    )
  return found


def truth(run: Run, axis: Axis) -> tuple[list[Chart], list[tuple[str, str]]]:
  """What the cells of the epochs are worth, trained, where a table knows."""
  found = [r for r in run.epochs if any(name.startswith(_TEST) for name in r)]
  names = list(
    dict.fromkeys(n for r in found for n in r if n.startswith(_TEST))
  )
  if not found:
    return [], []
  series, facts = [], []
  for i, name in enumerate(names):
    data, css = name.removeprefix(_TEST), f'c{i % 6}'
    known = [r for r in found if r.get(name) is not None]
    line = [(axis.of(r), float(r[name])) for r in known]
    series.append(Series(shown(data), css, line, step=True))
    regrets = [
      r[f'{_REGRET}{data}'] for r in known[-1:] if f'{_REGRET}{data}' in r
    ]
    if regrets and regrets[0] is not None:
      best = known[-1][name] + regrets[0]
      at = [(0.0, best), (axis.last, best)]
      series.append(Series('', css, at, dash='2 3'))
      facts.append(
        (
          shown(data),
          f'{charts.percent(known[-1][name])}, '
          f'{100 * regrets[0]:.2f} points below the best cell',
        )
      )
  ranked = [r for r in found if r.get(_RANK) is not None]
  rank = [(axis.of(r), float(r[_RANK])) for r in ranked]
  if ranked:
    facts.append(('rank', f'{ranked[-1][_RANK]:,}'))
  found_charts = [
    charts.line_chart(
      'Test accuracy of the cells, trained (dotted: the best there is)',
      series,
      axis,
      shown=charts.percent,
    ),
    charts.line_chart(
      'Rank of the cell',
      [Series('', 'c0', rank, step=True, note='')],
      axis,
      shown=lambda v: f'{v:,.0f}',
      log=True,
    ),
  ]
  return [chart for chart in found_charts if chart.lines], facts


def tested(run: Run) -> list[tuple[str, str]]:
  """The table of a test."""
  results = run.results
  rows = []
  for name, said in (
    ('test_accuracy', 'accuracy'),
    ('test_top5_accuracy', 'among the first five'),
  ):
    if results.get(name) is not None:
      rows.append((said, charts.percent(results[name])))
  if results.get('test_loss') is not None:
    rows.append(('loss', f'{results["test_loss"]:.4f}'))
  if 'confusion' in results:
    rows.append(('images', f'{sum(map(sum, results["confusion"])):,}'))
  return rows


def confusion(run: Run) -> Confusion | None:
  """Of the test; None without one."""
  if 'confusion' not in run.results:
    return None
  counts = run.results['confusion']
  names = [shown(name) for name in run.results['class_accuracy']]
  pairs = [
    (names[i], names[j], count)
    for i, row in enumerate(counts)
    for j, count in enumerate(row)
    if i != j and count
  ]
  pairs.sort(key=lambda pair: -pair[2])
  rows = [[(count, count / (sum(row) or 1)) for count in row] for row in counts]
  return Confusion(names, rows if len(names) <= _NAMED else [], pairs[:12])


def class_accuracies(run: Run) -> list[tuple[str, float | None]]:
  """Of every class, the least accurate first; those without images last."""
  found = (run.results.get('class_accuracy') or {}).items()
  return sorted(
    ((shown(name), value) for name, value in found),
    key=lambda pair: 2.0 if pair[1] is None else pair[1],
  )


def mistakes(run: Run) -> list[Mistake]:
  """The worst mistakes of a test, as pictures."""
  lines = run.results.get('mistakes') or []
  if run.mistakes is None or not lines:
    return []
  return [
    Mistake(
      _picture(image),
      shown(line['class']),
      shown(line['predicted']),
      charts.percent(line['probability']),
      charts.percent(line['class_probability']),
    )
    for image, line in zip(run.mistakes, lines)
  ]


def _picture(image: Any) -> str:
  """A uint8 image (H, W, C) as the address that holds it."""
  from PIL import Image

  channels = image.shape[-1]
  pixels = image[..., 0] if channels in (1, 2) else image[..., :3]
  shot = Image.fromarray(pixels)
  shot.thumbnail((_SIDE, _SIDE))
  buffer = io.BytesIO()
  shot.save(buffer, 'PNG', optimize=True)
  code = base64.b64encode(buffer.getvalue()).decode('ascii')
  return f'data:image/png;base64,{code}'
