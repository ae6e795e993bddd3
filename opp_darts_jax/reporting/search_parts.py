"""What the page of a search shows of its cells and stages."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from opp_darts_jax.genotypes.cell import NONE, Cell
from opp_darts_jax.reporting import (
  alpha_parts,
  amounts,
  cell_picture,
  charts,
  titles,
)
from opp_darts_jax.reporting.cell_picture import Picture
from opp_darts_jax.reporting.derived import genotype_of
from opp_darts_jax.reporting.run_files import RunFiles
from opp_darts_jax.reporting.styles import Style, Styles

Record = Mapping[str, Any]

_FRAMES = 120  # of a cell: epochs at which it changed, evenly chosen


class Frame(NamedTuple):
  """A cell as it was from one epoch to another, ends included.

  Attributes:
    first: the first such epoch.
    last: the last one.
    picture: of it.
    change: against the frame before, in words.
  """

  first: int
  last: int
  picture: Picture
  change: str


class Frames(NamedTuple):
  """A kind of cell through the epochs."""

  kind: str
  name: str
  frames: Sequence[Frame]


class Chosen(NamedTuple):
  """An edge at the end of a search: what it has and what else it could have.

  Attributes:
    edge: its name.
    style: of the operation on it, or of one of several; None if the cell leaves
      the edge out.
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


def cells(run: RunFiles, styles: Styles) -> list[Frames]:
  """All kinds of cells through the epochs; the last alone if none are known.

  What the search gave stands one after the last epoch, if that has another.
  """
  derived = [
    (r['epoch'], genotype_of(r)) for r in run.epochs if r.get('genotype')
  ]
  if run.genotype is None:
    return []
  if not derived or derived[-1][1] != run.genotype:
    at = derived[-1][0] + 1 if derived else 0
    derived.append((at, run.genotype))
  return [
    Frames(
      cell.kind,
      titles.kind_name(cell.kind),
      _frames([(e, g[cell.kind]) for e, g in derived if cell.kind in g.kinds],
              styles),
    )
    for cell in run.genotype.cells
  ]  # fmt: skip


def _frames(cells: Sequence[tuple[int, Cell]], styles: Styles) -> list[Frame]:
  spans: list[tuple[int, int, Cell]] = []
  for epoch, cell in cells:
    if spans and _unordered(spans[-1][2]) == _unordered(cell):
      spans[-1] = (spans[-1][0], epoch, cell)
    else:
      spans.append((epoch, epoch, cell))
  spans = charts.thinned(spans, _FRAMES)
  frames: list[Frame] = []
  before = None
  for index, (first, last, cell) in enumerate(spans):
    # No epoch may be without a picture.
    last = spans[index + 1][0] - 1 if index + 1 < len(spans) else last
    new = cell_picture.changed(cell, before)
    drawn = cell_picture.picture(cell, styles, new)
    frames.append(Frame(first, last, drawn, _change(cell, before, len(new))))
    before = cell
  return frames


def _unordered(cell: Cell) -> tuple[Any, ...]:
  """What is seen of a cell, in whatever order its edges are."""
  return cell.inputs, sorted(cell.edges), sorted(cell.output)


def _change(cell: Cell, before: Cell | None, new: int) -> str:
  if before is None:
    return 'the first'
  if new:
    return amounts.counted(new, 'new edge')
  fewer = len(cell.edges) < len(before.edges)
  return 'edges left out' if fewer else 'another output'


def stages(run: RunFiles, styles: Styles) -> list[StageBars]:
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


def chosen(run: RunFiles, styles: Styles) -> dict[str, list[Chosen]]:
  """Per edge the strongest alternative, and by how much it lost.

  On an edge of the cell, with a line for each of its operations, that is the
  strongest one it does not have; `none` is left out where the cell cannot have
  it. An edge that the cell leaves out lost by what its strongest operation
  lacks to the weakest edge of the same node.
  """
  found = {}
  edges = [tuple(e) for e in (run.space.get('graph') or {}).get('edges') or ()]
  at = run.found['epoch'] if run.found else None
  for kind, (tables, names, weights_TEK) in alpha_parts.weights(run).items():
    places = [i for i, line in enumerate(tables) if line.get('epoch') == at]
    rows = weights_TEK[places[-1] if places else -1]
    if run.genotype is None or kind not in run.genotype.kinds:
      continue
    if len(edges) != len(rows):  # Of an earlier release, without a graph.
      continue
    cell = run.genotype[kind]
    on = titles.on_edges(cell)
    may_none = len(on) == len(rows) or any(NONE in own for own in on.values())
    strengths = {
      edge: {
        n: float(w)
        for n, w in zip(names, row)
        if not np.isnan(w) and (may_none or n != NONE)
      }
      for edge, row in zip(edges, rows)
    }
    found[kind] = [
      _chosen(edge, name, on, strengths, cell.inputs, styles)
      for edge in edges
      for name in on.get(edge, (None,))
    ]
  return found


def _chosen(
  edge: tuple[int, ...],
  name: str | None,
  on: Mapping[tuple[int, ...], Sequence[str]],
  strengths: Mapping[tuple[int, ...], Mapping[str, float]],
  inputs: int,
  styles: Styles,
) -> Chosen:
  """An edge's line of one of its operations; of None, that it is left out."""
  own = strengths[edge]
  others = {n: w for n, w in own.items() if n not in on.get(edge, ())}
  other = max(others, key=others.__getitem__, default=None)
  other_weight = others.get(other) if other else None
  if name is None:
    kept = [
      strengths[e].get(o)
      for e, names in on.items()
      for o in names
      if e[1] == edge[1] and e in strengths
    ]
    known = [w for w in kept if w is not None]
    weight = min(known) if known else None
  else:
    weight = own.get(name)
  lost = (
    weight - other_weight
    if weight is not None and other_weight is not None
    else None
  )
  return Chosen(
    titles.edge_name(inputs, edge),
    styles[name] if name else None,
    weight if name else None,
    styles[other] if other else None,
    other_weight,
    lost,
  )
