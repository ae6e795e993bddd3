"""What the page of a search shows of its alphas."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from opp_darts_jax.reporting import alpha_tables, charts, titles
from opp_darts_jax.reporting.charts import Axis, Chart, Series
from opp_darts_jax.reporting.run_files import Run
from opp_darts_jax.reporting.styles import Style, Styles

Record = Mapping[str, Any]


class Sheet(NamedTuple):
  """Small charts of all kinds as one picture.

  Attributes:
    size: width and height.
    names: (x, y, text) of the kinds.
    keys: (x, y, style) of the operations.
    charts: (x, y, chart), below the chart's title.
  """

  size: tuple[float, float]
  names: Sequence[tuple[float, float, str]]
  keys: Sequence[tuple[float, float, Style]]
  charts: Sequence[tuple[float, float, Chart]]


class Multiples(NamedTuple):
  """Small charts of a kind, one an edge."""

  name: str
  styles: Sequence[Style]
  charts: Sequence[Chart]


def weights(
  run: Run,
) -> dict[str, tuple[list[Record], list[str], np.ndarray]]:
  """By kind: the lines that have its table, operations, weights (T, E, K)."""
  found = {}
  method = str(run.config.get('method') or '')
  for kind in alpha_tables.cell_kinds(run.alphas):
    lines: list[Record] = [
      line for line in run.alphas if alpha_tables.has_table(line, kind)
    ]
    names, shape = lines[-1]['operations'], np.shape(lines[-1][kind])
    lines = [
      line
      for line in lines
      if line['operations'] == names and np.shape(line[kind]) == shape
    ]
    tables = [alpha_tables.edge_weights(line[kind], method) for line in lines]
    found[kind] = lines, names, np.array(tables)
  return found


def alphas(run: Run, styles: Styles, axis: Axis) -> list[Multiples]:
  """A small chart an edge: the weight of each of its operations over time."""
  found = []
  for kind, (lines, names, weights_TEK) in weights(run).items():
    at = [axis.of(line) for line in lines]
    edges = titles.edge_names(run, kind, weights_TEK.shape[1])
    bounds = _weight_bounds(weights_TEK)
    small = []
    for e, edge in enumerate(edges):
      series = [
        Series(
          styles[name].name,
          styles[name].css,
          [
            (x, float(y) if bounds[0] <= y <= bounds[1] else None)
            for x, y in zip(at, weights_TEK[:, e, k])
          ],
          styles[name].dash,
          styles[name].wide,
        )
        for k, name in enumerate(names)
      ]
      small.append(
        charts.line_chart(
          edge,
          series,
          axis,
          bounds=bounds,
          size=(200.0, 112.0),
          small=True,
        )
      )
    found.append(Multiples(titles.kind_name(kind), styles.of(names), small))
  return found


def sheet(multiples: Sequence[Multiples]) -> Sheet:
  """Puts the small charts of all kinds below one another, five a row."""
  width, height, columns, y = 210.0, 136.0, 5, 0.0
  names, keys, placed = [], [], []
  for own in multiples:
    names.append((8.0, y + 18, own.name))
    for i, style in enumerate(own.styles):
      keys.append((8 + 130.0 * (i % 8), y + 38 + 16.0 * (i // 8), style))
    y += 56 + 16.0 * ((len(own.styles) - 1) // 8)
    for i, chart in enumerate(own.charts):
      place = width * (i % columns), y + height * (i // columns)
      placed.append((*place, chart))
    y += height * (1 + (len(own.charts) - 1) // columns)
  return Sheet((width * columns, y), names, keys, placed)


def _weight_bounds(weights_TEK: np.ndarray) -> tuple[float, float]:
  """What all charts of a kind show: where weights are once all have entered.

  Before, with fewer operations, weights are larger, and beyond the charts.
  """
  active_T = (~np.isnan(weights_TEK)).sum(axis=(1, 2))
  settled = weights_TEK[active_T == active_T.max()]
  low, high = float(np.nanmin(settled)), float(np.nanmax(settled))
  pad = 0.06 * (high - low) or 0.05
  return low - pad, high + pad


def further(run: Run, axis: Axis) -> list[Chart]:
  """A chart of everything else that the method has."""
  found = []
  for name, lines in alpha_tables.further(run.alphas).items():
    at = [axis.of(run.alphas[index]) for index, _ in lines]
    values = np.array([own for _, own in lines])
    series = [
      Series('', f'c{i % 6}', list(zip(at, map(float, values[:, i]))))
      for i in range(values.shape[1])
    ]
    if np.isfinite(values).all():
      found.append(charts.line_chart(name, series, axis))
  return found
