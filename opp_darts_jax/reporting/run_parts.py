"""What the page of any run shows: its curves, times, costs and truth."""

from collections.abc import Mapping, Sequence
from typing import Any

from opp_darts_jax.recorded import TRUTH, TRUTH_TEST
from opp_darts_jax.reporting import amounts, charts
from opp_darts_jax.reporting.axes import Axis
from opp_darts_jax.reporting.charts import Chart, Series
from opp_darts_jax.reporting.run_files import RunFiles
from opp_darts_jax.reporting.styles import color, shown

Record = Mapping[str, Any]

_SPLITS = {'train': 'c0', 'val': 'c1', 'eval': 'c2', 'test': 'c2'}
_SAID = {'train': 'train', 'val': 'val', 'eval': 'D_val', 'test': 'test'}
_REGRET, _RANK = f'{TRUTH}regret_', f'{TRUTH}rank'


def curves(run: RunFiles, axis: Axis) -> list[Chart]:
  """Losses, accuracies, learning rate, time and steps per second."""
  found = [
    charts.line_chart('Loss', _splits(run, 'loss', axis), axis),
    charts.line_chart(
      'Accuracy', _splits(run, 'accuracy', axis), axis, shown=amounts.percent
    ),
  ]
  rates = [r for r in run.records if r.get('learning_rate') is not None]
  rate = [(axis.of(r), float(r['learning_rate'])) for r in rates]
  found.append(
    charts.line_chart('Learning rate', [Series('', 'c0', rate)], axis)
  )
  return [chart for chart in found if chart.lines]


def _splits(run: RunFiles, metric: str, axis: Axis) -> list[Series]:
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


def times(
  run: RunFiles, axis: Axis
) -> tuple[list[Chart], list[tuple[str, str]]]:
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
        Series('rest', 'c1', [(e + 1, s) for e, s in beside.items()]),
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
  count = sum(n for n, _ in steps.values())
  total, rest = sum(s for _, s in steps.values()), sum(beside.values())
  rate = f', {amounts.number(count / total)} a second' if total else ''
  facts = [('steps', f'{count:,.0f} in {amounts.duration(total)}{rate}')]
  if rest:
    facts.append(
      (
        'beside steps',
        f'{amounts.duration(rest)}: entries, evaluations, monitor',
      )
    )
  return [chart for chart in found if chart.lines], facts


def costs(run: RunFiles) -> list[tuple[str, str]]:
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


def truth(
  run: RunFiles, axis: Axis
) -> tuple[list[Chart], list[tuple[str, str]]]:
  """What cells are worth, trained, where a table knows.

  Returns:
    Charts over the epochs; what it is of the cell that the search gave.
  """
  lines = [*run.epochs, *([run.found] if run.found else ())]
  found = [r for r in lines if any(name.startswith(TRUTH_TEST) for name in r)]
  names = list(
    dict.fromkeys(n for r in found for n in r if n.startswith(TRUTH_TEST))
  )
  if not found:
    return [], []
  series, facts = [], []
  for i, name in enumerate(names):
    data, css = name.removeprefix(TRUTH_TEST), color(i)
    known = [r for r in found if r.get(name) is not None]
    line = [(axis.of(r), float(r[name])) for r in _ends(known)]
    series.append(Series(shown(data), css, line, step=True))
    regrets = [
      r[f'{_REGRET}{data}'] for r in known[-1:] if f'{_REGRET}{data}' in r
    ]
    if regrets and regrets[0] is not None:
      best = known[-1][name] + regrets[0]
      at = [(0.0, best), (axis.last, best)] if line else []
      series.append(Series('', css, at, dash='2 3'))
      facts.append(
        (
          shown(data),
          f'{amounts.percent(known[-1][name])}, '
          f'{100 * regrets[0]:.2f} points below the best cell',
        )
      )
  ranked = [r for r in found if r.get(_RANK) is not None]
  rank = [(axis.of(r), float(r[_RANK])) for r in _ends(ranked)]
  if ranked:
    facts.append(('rank', f'{ranked[-1][_RANK]:,}'))
  found_charts = [
    charts.line_chart(
      'Test accuracy (dotted: the best cell)',
      series,
      axis,
      shown=amounts.percent,
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


def _ends(lines: Sequence[Record]) -> list[Record]:
  """Those of the lines that are of epochs."""
  return [r for r in lines if r['kind'] == 'epoch']
