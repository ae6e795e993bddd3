"""Where everything goes in a chart over epochs: pure geometry, in pixels.

Templates write it as SVG (templates/figures.html.j2); colours are classes of
the style sheet.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from opp_darts_jax.reporting import axes, cell_layout
from opp_darts_jax.reporting.amounts import number, percent
from opp_darts_jax.reporting.axes import Axis

Point = tuple[float, float | None]

_POINTS = 240  # of a line: more are closer than a pixel
_LABEL = 13.0  # height of a line's label
_UNIT = 44.0  # width of the unit of x


class Series(NamedTuple):
  """A line of a chart.

  Attributes:
    name: said at its end; '' says nothing.
    css: its class.
    points: (x, y); y of None is a gap.
    dash: as SVG writes it.
    wide: whether it is a wide line.
    step: whether y stays until the next point.
    note: of its last point, instead of the number.
    band: (x, low, high) of a shaded band around it.
  """

  name: str
  css: str
  points: Sequence[Point]
  dash: str = ''
  wide: bool = False
  step: bool = False
  note: str = ''
  band: Sequence[tuple[float, float, float]] = ()


class Label(NamedTuple):
  """What is said at the end of a line, at a height, with that of its end."""

  y: float
  end: float
  text: str
  css: str


class Drawn(NamedTuple):
  """A line, or band, as SVG draws it."""

  d: str
  series: Series
  dots: Sequence[tuple[float, float]]
  band: str


class Chart(NamedTuple):
  """A chart ready to be written.

  Attributes:
    title: above it.
    said: what it shows, in words, for those who do not see it.
    size: width and height.
    plot: left, top, right and bottom of the lines' area.
    x_ticks: (x, text).
    y_ticks: (y, text).
    marks: x of stages.
    lines: drawn in this order.
    labels: at their ends.
    unit: of x.
    per_unit: pixels of an epoch.
    small: whether it is one of many.
  """

  title: str
  said: str
  size: tuple[float, float]
  plot: tuple[float, float, float, float]
  x_ticks: Sequence[tuple[float, str]]
  y_ticks: Sequence[tuple[float, str]]
  marks: Sequence[float]
  lines: Sequence[Drawn]
  labels: Sequence[Label]
  unit: str
  per_unit: float
  small: bool


def line_chart(
  title: str,
  series: Sequence[Series],
  axis: Axis,
  *,
  bounds: axes.Bounds = (None, None),
  shown: Callable[[float], str] = number,
  size: tuple[float, float] = (400.0, 210.0),
  small: bool = False,
  log: bool = False,
) -> Chart:
  """Lays out lines over time.

  Args:
    title: of the chart.
    series: its lines; those without a point are left out.
    axis: of time.
    bounds: what y reaches at least, if not None; of one that is given, no
      farther.
    shown: a y as text.
    size: of the whole.
    small: whether it is one of many, with nothing at the ends of lines.
    log: whether y is logarithmic, and the least on top: ranks.
  """
  series = [_placed(s, log) for s in series]
  series = [s for s in series if any(y is not None for _, y in s.points)]
  ys = [y for s in series for _, y in s.points if y is not None]
  ys += [y for s in series for point in s.band for y in point[1:]]
  place = math.log10 if log else float
  places = list(map(place, ys))
  low, high, ticks = (
    axes.log_scale(places)
    if log
    else axes.scale(places, bounds, 3 if small else 4)
  )
  x_ticks = axes.whole_ticks(axis.last, 3 if small else 6)
  texts = [_tick(t, log, shown) for t in ticks]
  left = 10.0 + 6.4 * max(map(len, texts), default=1)
  left = left if small else max(left, _UNIT)  # The unit of x stands there.
  labels = [] if small else [(s, _end_text(s, shown)) for s in series if s.name]
  longest = max([len(text) for _, text in labels], default=0)
  right = size[0] - (8.0 if small else 14.0 + 6.6 * longest)
  top, bottom = (8.0 if small else 12.0), size[1] - (18.0 if small else 24.0)
  per_unit = (right - left) / axis.last

  def at_x(x: float) -> float:
    return left + per_unit * x

  def at_y(y: float) -> float:
    share = (place(y) - low) / ((high - low) or 1.0)
    return (
      top + share * (bottom - top) if log else bottom - share * (bottom - top)
    )

  lines = [_draw(s, at_x, at_y) for s in series]
  return Chart(
    title,
    f'{title}: ' + ('; '.join(_said(s, shown) for s in series) or 'no numbers'),
    size,
    (left, top, right, bottom),
    [(at_x(x), f'{x:g}') for x in x_ticks],
    [(at_y(10**t if log else t), text) for t, text in zip(ticks, texts)],
    [at_x(x) for x in axis.marks],
    lines,
    _labels(labels, at_y),
    axis.unit,
    per_unit if axis.unit == 'epoch' else 0.0,
    small,
  )


def thinned(points: Sequence[Any], most: int = _POINTS) -> list[Any]:
  """At most so many of them, evenly, the last one always."""
  step = max(1, math.ceil(len(points) / most))
  return list(points[::-step][::-1])


def _placed(series: Series, log: bool) -> Series:
  """The series, with gaps for points at no place that there is."""

  def has_place(y: float | None) -> bool:
    return y is not None and math.isfinite(y) and (y > 0 or not log)

  points = [(x, y if has_place(y) else None) for x, y in series.points]
  band = [point for point in series.band if not log or point[1] > 0]
  return series._replace(points=points, band=band)


def _tick(value: float, log: bool, shown: Callable[[float], str]) -> str:
  if log:
    return f'{10**value:,.0f}'
  if shown is percent:
    return f'{100 * value:.3g} %'
  return f'{value:,.6g}'


def _draw(
  series: Series, at_x: Callable[[float], float], at_y: Callable[[float], float]
) -> Drawn:
  """The line as a path; a point alone is a dot."""
  runs: list[list[tuple[float, float]]] = [[]]
  for x, y in thinned(series.points):
    if y is None:
      runs.append([])
    else:
      runs[-1].append((at_x(x), at_y(y)))
  runs = [run for run in runs if run]
  parts = []
  for run in runs:
    parts.append(f'M{run[0][0]:.1f} {run[0][1]:.1f}')
    for x, y in run[1:]:
      parts.append(f'H{x:.1f}V{y:.1f}' if series.step else f'L{x:.1f} {y:.1f}')
  dots = [run[0] for run in runs if len(run) == 1]
  band = thinned(series.band)
  over = [f'{at_x(x):.1f} {at_y(high):.1f}' for x, _, high in band]
  under = [f'{at_x(x):.1f} {at_y(low):.1f}' for x, low, _ in band[::-1]]
  around = f'M{"L".join(over + under)}Z' if band else ''
  return Drawn(''.join(parts), series, dots, around)


def _end_text(series: Series, shown: Callable[[float], str]) -> str:
  return f'{series.name} {series.note or shown(_last(series))}'


def _labels(
  named: Sequence[tuple[Series, str]], at_y: Callable[[float], float]
) -> list[Label]:
  """What stands at the ends of lines, kept apart."""
  ends = sorted(((at_y(_last(s)), s, text) for s, text in named), key=_place)
  ys = cell_layout.spread(
    [y for y, *_ in ends], [1.0] * len(ends), [_LABEL] * max(len(ends) - 1, 0)
  )
  return [Label(y, end, text, s.css) for y, (end, s, text) in zip(ys, ends)]


def _place(end: tuple[float, Series, str]) -> float:
  return end[0]


def _last(series: Series) -> float:
  return [y for _, y in series.points if y is not None][-1]


def _said(series: Series, shown: Callable[[float], str]) -> str:
  ys = [y for _, y in series.points if y is not None]
  name = series.name or 'it'
  if len(ys) == 1:
    return f'{name} is {shown(ys[0])}'
  return f'{name} goes from {shown(ys[0])} to {shown(ys[-1])}'
