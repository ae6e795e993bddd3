"""What the page of a search shows of its alphas."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from opp_darts_jax.reporting import alpha_tables, charts, titles
from opp_darts_jax.reporting.axes import Axis
from opp_darts_jax.reporting.charts import Chart, Series
from opp_darts_jax.reporting.run_files import RunFiles
from opp_darts_jax.reporting.sheets import SMALL, Panel
from opp_darts_jax.reporting.styles import Style, Styles

Record = Mapping[str, Any]


def weights(
  run: RunFiles,
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
    tables = [alpha_tables.weights_of(line, kind, method) for line in lines]
    found[kind] = lines, names, np.array(tables)
  return found


class Alphas(NamedTuple):
  """The section.

  Attributes:
    parts: one a kind of cell, with a chart an edge.
    relative: whether weights are multiples of an equal share.
  """

  parts: Sequence[Panel]
  relative: bool


def alphas(run: RunFiles, styles: Styles, axis: Axis) -> Alphas:
  """A small chart an edge: the weight of each of its operations over time.

  Where operations enter one after the other, weights are shown as multiples of
  an equal share, by which stages with few and with many stand on one scale.
  """
  tables = weights(run)
  method = str(run.config.get('method'))
  relative = not alpha_tables.is_apart(run.alphas, method) and any(
    np.ptp(_active(weights_TEK), axis=0).any()
    for _, _, weights_TEK in tables.values()
  )
  found = []
  for kind, (lines, names, weights_TEK) in tables.items():
    if relative:
      weights_TEK = weights_TEK * _active(weights_TEK)[:, :, None]
    found.append(
      Panel(
        titles.kind_name(kind),
        styles.of(names),
        _of_kind(run, kind, weights_TEK, [axis.of(x) for x in lines],
                 styles.of(names), axis),
      )
    )  # fmt: skip
  return Alphas(found, relative)


def _active(weights_TEK: np.ndarray) -> np.ndarray:
  """How many operations are active, (T, E)."""
  return (~np.isnan(weights_TEK)).sum(axis=2)


def _of_kind(
  run: RunFiles,
  kind: str,
  weights_TEK: np.ndarray,
  at: Sequence[float],
  styles: Sequence[Style],
  axis: Axis,
) -> list[Chart]:
  """A chart an edge, which says what the cell has there in the end."""
  edges = titles.edge_names(run, kind, weights_TEK.shape[1])
  has = titles.operations_of(run, kind, weights_TEK.shape[1])
  # A kind of cell may have no active operation yet.
  found = weights_TEK[~np.isnan(weights_TEK)]
  low, high = (found.min(), found.max()) if found.size else (0.0, 1.0)
  pad = 0.06 * (high - low) or 0.05
  return [
    charts.line_chart(
      f'{edge}: {has[e]}' if has[e] else edge,
      [
        Series(
          style.name,
          style.css,
          list(zip(at, map(float, weights_TEK[:, e, k]))),
          style.dash,
          style.wide,
        )
        for k, style in enumerate(styles)
      ],
      axis,
      bounds=(low - pad, high + pad),
      size=SMALL,
      small=True,
    )
    for e, edge in enumerate(edges)
  ]
