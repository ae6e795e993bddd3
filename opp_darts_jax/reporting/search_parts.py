"""What the page of a search shows: cells, stages, alphas, the monitor."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from opp_darts_jax.genotypes.genotype import Cell, Genotype
from opp_darts_jax.reporting import alpha_tables, cell_picture, charts
from opp_darts_jax.reporting.cell_picture import Picture
from opp_darts_jax.reporting.charts import Axis, Chart, Series
from opp_darts_jax.reporting.run_files import Run
from opp_darts_jax.reporting.styles import Style, Styles, shown

Record = Mapping[str, Any]

_NAMES = {'normal': 'Normal cell', 'reduce': 'Reduction cell', 'cell': 'Cell'}
_FRAMES = 120  # of a cell: epochs at which it changed, evenly chosen
_NONE = 'none'


class Frame(NamedTuple):
  """A cell as it was from one epoch to another, ends included.

  Attributes:
    first: the first such epoch.
    last: the last one.
    picture: of it.
    edges: how many are new.
  """

  first: int
  last: int
  picture: Picture
  edges: int


class Frames(NamedTuple):
  """A kind of cell through the epochs."""

  kind: str
  name: str
  frames: Sequence[Frame]


class Chosen(NamedTuple):
  """An edge at the end of a search: what it has and what else it could have.

  Attributes:
    edge: its name.
    style: of the operation on it; None if the cell leaves the edge out.
    weight: of that operation.
    other: the strongest alternative.
    other_weight: of it.
    lost: by how much that lost; below 0 if something else than weights decided.
  """

  edge: str
  style: Style | None
  weight: float | None
  other: Style | None
  other_weight: float | None
  lost: float | None


class Bar(NamedTuple):
  """A candidate at a stage."""

  style: Style
  loss: float
  share: float
  entered: bool
  above: float


class StageBars(NamedTuple):
  """A stage: its number, its epoch, its candidates, and what entered."""

  stage: int
  epoch: int
  bars: Sequence[Bar]
  entered: Sequence[Style]
  active: Sequence[Style]


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


def kind_name(kind: str) -> str:
  """What a kind of cell is called."""
  return _NAMES.get(kind, f'Cell {shown(kind)}')


def cells(run: Run, styles: Styles) -> list[Frames]:
  """All kinds of cells through the epochs; the last alone if none are known."""
  derived = [
    (r['epoch'], Genotype.from_dict(r['genotype']))
    for r in run.epochs
    if r.get('genotype')
  ]
  if run.genotype is None:
    return []
  # At the end of a search it may have been derived once more.
  if not derived or derived[-1][1] != run.genotype:
    last = derived.pop()[0] if derived else 0
    derived.append((last, run.genotype))
  return [
    Frames(
      cell.kind,
      kind_name(cell.kind),
      _frames([(e, g[cell.kind]) for e, g in derived if cell.kind in g.kinds],
              styles),
    )
    for cell in run.genotype.cells
  ]  # fmt: skip


def _frames(cells: Sequence[tuple[int, Cell]], styles: Styles) -> list[Frame]:
  spans: list[tuple[int, int, Cell]] = []
  for epoch, cell in cells:
    if spans and spans[-1][2] == cell:
      spans[-1] = (spans[-1][0], epoch, cell)
    else:
      spans.append((epoch, epoch, cell))
  spans = charts.thinned(spans, _FRAMES)
  frames, before = [], None
  for index, (first, last, cell) in enumerate(spans):
    # No epoch may be without a picture.
    last = spans[index + 1][0] - 1 if index + 1 < len(spans) else last
    new = cell_picture.changed(cell, before)
    drawn = cell_picture.picture(cell, styles, new)
    frames.append(Frame(first, last, drawn, len(new)))
    before = cell
  return frames


def stages(run: Run, styles: Styles) -> list[StageBars]:
  """The stages at which something entered."""
  return [_stage(line, styles) for line in run.stages]


def _stage(line: Record, styles: Styles) -> StageBars:
  entered = line.get('entered') or []
  losses = {
    n: s for n, s in (line.get('losses') or {}).items() if s is not None
  }
  most, least = (f(losses.values(), default=0.0) for f in (max, min))
  bars = [
    Bar(styles[n], s, s / (most or 1.0), n in entered, s - least)
    for n, s in sorted(losses.items(), key=lambda pair: -pair[1])
  ]
  active = list(line.get('active') or entered)
  return StageBars(
    line['stage'], line['epoch'], bars, styles.of(entered), styles.of(active)
  )


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
    edges = _edge_names(run, kind, weights_TEK.shape[1])
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
    found.append(Multiples(kind_name(kind), styles.of(names), small))
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


def chosen(run: Run, styles: Styles) -> dict[str, list[Chosen]]:
  """Per edge the strongest alternative, and by how much it lost.

  On an edge of the cell that is the strongest other operation, `none` left out
  where the cell cannot have it. An edge that the cell leaves out lost by what
  its strongest operation lacks to the weakest edge of the same node.
  """
  found = {}
  edges = [tuple(e) for e in (run.space.get('graph') or {}).get('edges') or ()]
  for kind, (_, names, weights_TEK) in weights(run).items():
    rows = weights_TEK[-1]
    if run.genotype is None or kind not in run.genotype.kinds:
      continue
    if len(edges) != len(rows):  # Of an earlier release, without a graph.
      continue
    cell = run.genotype[kind]
    on = {(e.source, e.node): e.operation for e in cell.edges}
    may_none = any(e.operation == _NONE for e in cell.edges) or len(on) == len(
      rows
    )
    lines = []
    strengths = {
      edge: {
        n: float(w)
        for n, w in zip(names, row)
        if not np.isnan(w) and (may_none or n != _NONE)
      }
      for edge, row in zip(edges, rows)
    }
    for edge, own in strengths.items():
      name = on.get(edge)
      others = {n: w for n, w in own.items() if n != name}
      other = max(others, key=others.__getitem__, default=None)
      other_weight = others.get(other) if other else None
      if name is None:
        kept = [
          strengths[e].get(o) for e, o in on.items()
          if e[1] == edge[1] and e in strengths
        ]  # fmt: skip
        known = [w for w in kept if w is not None]
        weight = min(known) if known else None
      else:
        weight = own.get(name)
      lost = (
        weight - other_weight
        if weight is not None and other_weight is not None
        else None
      )
      lines.append(
        Chosen(
          _edge_name(cell.inputs, edge),
          styles[name] if name else None,
          weight if name else None,
          styles[other] if other else None,
          other_weight,
          lost,
        )
      )
    found[kind] = lines
  return found


def _edge_names(run: Run, kind: str, count: int) -> list[str]:
  """Of the rows of a table, in the space's graph if the files have it."""
  graph = run.space.get('graph') or {}
  edges = graph.get('edges') or []
  if len(edges) != count:
    return [f'edge {e}' for e in range(count)]
  return [_edge_name(graph['inputs'], tuple(edge)) for edge in edges]


def _edge_name(inputs: int, edge: tuple[int, ...]) -> str:
  def name(node: int) -> str:
    return f'c[k−{inputs - node}]' if node < inputs else str(node - inputs)

  return f'{name(edge[0])} → {name(edge[1])}'
