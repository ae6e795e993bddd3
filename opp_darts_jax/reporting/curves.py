"""Numbers of several runs over the epochs: their mean, and what they span."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from opp_darts_jax.reporting import charts
from opp_darts_jax.reporting.axes import Axis
from opp_darts_jax.reporting.charts import Series
from opp_darts_jax.reporting.sheets import SMALL, Key, Panel

Record = Mapping[str, Any]

_OWN, _OTHER = 'c0', 'pale'


def axis_of(lines: Sequence[Record]) -> Axis:
  """The axis on which the epochs of several runs have their place."""
  last = max([line['epoch'] + 1 for line in lines], default=1)
  return Axis(float(max(last, 1)), 'epoch', 1.0)


def spread(
  key: str, lines: Sequence[Record], css: str, dash: str = ''
) -> Series:
  """The mean of a number by epoch, and what the runs span.

  Args:
    key: of the number.
    lines: of the epochs of all runs.
    css: class of the line.
    dash: of the line.
  """
  values: dict[int, list[float]] = {}
  for line in lines:
    if line.get(key) is not None:
      values.setdefault(line['epoch'], []).append(float(line[key]))
  at = sorted(values)
  band = [(e + 1.0, min(values[e]), max(values[e])) for e in at]
  several = any(len(values[e]) > 1 for e in at)
  return Series(
    '',
    css,
    [(e + 1.0, statistics.mean(values[e])) for e in at],
    dash,
    band=band if several else (),
  )


def one_by_one(
  key: str, lines: Mapping[str, Sequence[Record]], axis: Axis
) -> Panel:
  """A small chart for each setting, among the means of the others.

  Args:
    key: of a number.
    lines: of the epochs of all runs of a setting, by its name.
    axis: of all charts.
  """
  means = {
    name: spread(key, own, _OTHER)._replace(band=())
    for name, own in lines.items()
  }
  spans = {name: spread(key, own, _OWN) for name, own in lines.items()}
  every = [
    y
    for one in spans.values()
    for point in (*one.points, *one.band)
    for y in point[1:]
    if y is not None
  ]
  bounds = (min(every), max(every)) if every else (None, None)
  small = [
    charts.line_chart(
      name,
      [*(m for other, m in means.items() if other != name), spans[name]],
      axis,
      bounds=bounds,
      size=SMALL,
      small=True,
    )
    for name in lines
  ]
  keys = [Key('mean and span of its seeds', _OWN), Key('others', _OTHER)]
  return Panel(f'{key} by epoch', keys, small)
