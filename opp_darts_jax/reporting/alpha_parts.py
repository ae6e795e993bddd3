"""What the page of a search shows of its alphas."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from opp_darts_jax.reporting import (
  alpha_tables,
  charts,
  edge_shares,
  titles,
)
from opp_darts_jax.reporting.axes import Axis
from opp_darts_jax.reporting.charts import Chart, Series
from opp_darts_jax.reporting.run_files import Run
from opp_darts_jax.reporting.sheets import SMALL, Part
from opp_darts_jax.reporting.styles import Style, Styles, shown

Record = Mapping[str, Any]

_DASHES = ('', '6 3', '2 2')
# Numbers of epochs that other parts of a page show.
_SHOWN = ('epoch', 'step', 'seconds', 'learning_rate', 'eigenvalue')
_SHOWN_GROUPS = ('train_', 'val_', 'eval_', 'test_', 'derived_', 'skip_',
                 'entropy_', 'truth_')  # fmt: skip


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


class Alphas(NamedTuple):
  """The section.

  Attributes:
    parts: one a kind of cell, with a chart an edge.
    relative: whether weights are multiples of an equal share.
  """

  parts: Sequence[Part]
  relative: bool


def alphas(run: Run, styles: Styles, axis: Axis) -> Alphas:
  """A small chart an edge: the weight of each of its operations over time.

  Where operations enter one after the other, weights are shown as multiples of
  an equal share, by which stages with few and with many stand on one scale.
  """
  tables = weights(run)
  relative = not alpha_tables.is_apart(str(run.config.get('method'))) and any(
    np.ptp(_active(weights_TEK), axis=0).any()
    for _, _, weights_TEK in tables.values()
  )
  found = []
  for kind, (lines, names, weights_TEK) in tables.items():
    if relative:
      weights_TEK = weights_TEK * _active(weights_TEK)[:, :, None]
    found.append(
      Part(
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
  run: Run,
  kind: str,
  weights_TEK: np.ndarray,
  at: Sequence[float],
  styles: Sequence[Style],
  axis: Axis,
) -> list[Chart]:
  """A chart an edge, which says what the cell has there in the end."""
  edges = titles.edge_names(run, kind, weights_TEK.shape[1])
  has = titles.operations_of(run, kind, weights_TEK.shape[1])
  low, high = float(np.nanmin(weights_TEK)), float(np.nanmax(weights_TEK))
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


def further(run: Run, axis: Axis) -> list[Chart]:
  """A chart of everything else that the method has: parameters, numbers."""
  shares = edge_shares.of_run(run)
  found = _of_edges(run, shares, axis)
  for name, lines in alpha_tables.further(run.alphas).items():
    if shares and name.split(' ')[0] == edge_shares.EDGES:
      continue
    at = [axis.of(run.alphas[index]) for index, _ in lines]
    values = np.array([own for _, own in lines])
    series = [
      Series('', f'c{i % 6}', list(zip(at, map(float, values[:, i]))))
      for i in range(values.shape[1])
    ]
    if np.isfinite(values).all():
      found.append(charts.line_chart(name, series, axis))
  for name in _own_numbers(run):
    known = [r for r in run.epochs if r.get(name) is not None]
    points = [(axis.of(r), float(r[name])) for r in known]
    said = shown(name.replace('_', ' ')).capitalize()
    found.append(charts.line_chart(said, [Series('', 'c0', points)], axis))
  return found


def _of_edges(
  run: Run, shares: Mapping[str, np.ndarray], axis: Axis
) -> list[Chart]:
  """A chart a node: what share of it each edge into it has."""
  found = []
  at = [axis.of(line) for line in run.alphas]
  for kind, shares_TE in shares.items():
    names = titles.edge_names(run, kind, shares_TE.shape[1])
    for node, rows in edge_shares.into(run).items():
      series = [
        Series(
          names[e].partition(' ')[0],
          f'c{i % 6}',
          list(zip(at, map(float, shares_TE[:, e]))),
          dash=_DASHES[i // 6 % len(_DASHES)],
        )
        for i, e in enumerate(rows)
      ]
      title = f'Edge weights, {titles.kind_name(kind).lower()}, node {node}'
      found.append(charts.line_chart(title, series, axis, bounds=(0.0, 1.0)))
  return found


def _own_numbers(run: Run) -> list[str]:
  """Numbers of the epochs that are the method's: no part else shows them."""
  names = dict.fromkeys(
    name
    for line in run.epochs
    for name, value in line.items()
    if isinstance(value, int | float) and not isinstance(value, bool)
  )
  return [
    name
    for name in names
    if name not in _SHOWN and not name.startswith(_SHOWN_GROUPS)
  ]
