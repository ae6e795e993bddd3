"""A cell as SVG draws it: shapes and paths, in pixels."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from opp_darts_jax.genotypes.genotype import Cell
from opp_darts_jax.memoized import memoized
from opp_darts_jax.reporting import cell_layout
from opp_darts_jax.reporting.cell_items import NODE_SIZE
from opp_darts_jax.reporting.styles import Style, Styles

_INCH = 76.0
_MARGIN = 10.0
_KEPT = 512  # layouts of cells: those of all epochs of a run


class Arrow(NamedTuple):
  """An edge: its path, its style (None leads to the output), if it is new."""

  d: str
  style: Style | None
  new: bool


class Node(NamedTuple):
  """A node: its centre, what stands in it, and what that is below."""

  x: float
  y: float
  text: str
  below: str
  inner: bool


class Box(NamedTuple):
  """The label of an edge: left, top, width, height."""

  x: float
  y: float
  width: float
  height: float
  style: Style
  new: bool


class Picture(NamedTuple):
  """A cell ready to be written.

  Attributes:
    size: width and height.
    radius: of a node.
    arrows: of edges.
    boxes: labels of edges.
    nodes: on top of all.
    said: the cell in words, a sentence a node.
  """

  size: tuple[float, float]
  radius: float
  arrows: Sequence[Arrow]
  boxes: Sequence[Box]
  nodes: Sequence[Node]
  said: Sequence[str]


def picture(cell: Cell, styles: Styles, new: Collection[int] = ()) -> Picture:
  """Draws a cell as a graph from its inputs, left, to its output, right.

  Edges of `none` are dotted: they carry nothing, yet without them the picture
  could not be told from that of a cell that does not have them.

  Args:
    cell: to be drawn.
    styles: of its operations.
    new: which of its edges are marked as new.
  """
  layout, paths = _laid_out(cell)
  edges = cell.edges
  arrows = [
    Arrow(
      path,
      styles[edges[i].operation] if i < len(edges) else None,
      i in new,
    )
    for i, path in enumerate(paths)
  ]
  boxes, nodes = [], []
  label_of = {
    item: edge
    for edge, chain in enumerate(layout.chains)
    for item in chain
    if layout.items[item].kind == 'label'
  }
  for index, (item, center) in enumerate(zip(layout.items, layout.centers)):
    x, y = (_INCH * v + _MARGIN for v in center)
    if item.kind == 'node':
      text, below = _node_text(cell, item.number)
      inner = cell.inputs <= item.number < cell.inputs + cell.nodes
      nodes.append(Node(round(x, 1), round(y, 1), text, below, inner))
    elif item.kind == 'label':
      edge = label_of[index]
      width, height = (_INCH * v for v in item.size)
      boxes.append(
        Box(
          round(x - width / 2, 1),
          round(y - height / 2, 1),
          round(width, 1),
          round(height, 1),
          styles[edges[edge].operation],
          edge in new,
        )
      )
  width, height = (round(_INCH * v + 2 * _MARGIN, 1) for v in layout.size)
  radius = _INCH * NODE_SIZE / 2
  said = describe(cell, styles)
  return Picture((width, height), radius, arrows, boxes, nodes, said)


def describe(cell: Cell, styles: Styles) -> list[str]:
  """The cell in words."""
  said = []
  for node in range(cell.inputs, cell.inputs + cell.nodes):
    into = [
      f'{styles[e.operation].name} of {node_name(cell, e.source)}'
      for e in cell.into(node)
    ]
    said.append(f'{node_name(cell, node)} = {" + ".join(into) or "nothing"}')
  names = ', '.join(node_name(cell, node) for node in cell.output)
  said.append(f'output = {names}')
  return said


def node_name(cell: Cell, number: int) -> str:
  """What a node is called in text."""
  if number < cell.inputs:
    return f'c[k−{cell.inputs - number}]'
  if number == cell.inputs + cell.nodes:
    return 'output'
  return f'node {number - cell.inputs}'


def changed(cell: Cell, before: Cell | None) -> list[int]:
  """Which edges of a cell one before it does not have."""
  if before is None:
    return []
  left = list(before.edges)
  found = []
  for index, edge in enumerate(cell.edges):
    if edge in left:
      left.remove(edge)
    else:
      found.append(index)
  return found


@memoized(_KEPT)
def _laid_out(cell: Cell) -> tuple[cell_layout.Layout, list[str]]:
  """The layout of a cell, and the path of each of its edges."""
  layout = cell_layout.layout_cell(cell)
  ports = _ports(layout)
  return layout, [
    _path(layout, chain, port) for chain, port in zip(layout.chains, ports)
  ]


def _node_text(cell: Cell, number: int) -> tuple[str, str]:
  """The text in a node, and its index."""
  if number < cell.inputs:
    return 'c', f'k−{cell.inputs - number}'
  if number == cell.inputs + cell.nodes:
    return 'c', 'k'
  return str(number - cell.inputs), ''


def _ports(layout: cell_layout.Layout) -> list[float]:
  """How far below its target's centre each edge ends, so that none share."""
  ports = [0.0] * len(layout.chains)
  for target in {chain[-1] for chain in layout.chains}:
    arriving = [i for i, c in enumerate(layout.chains) if c[-1] == target]
    arriving.sort(key=lambda i: layout.centers[layout.chains[i][-2]][1])
    step = min(0.2, 0.36 / len(arriving))
    for row, index in enumerate(arriving):
      ports[index] = step * (row - (len(arriving) - 1) / 2)
  return ports


def _path(layout: cell_layout.Layout, chain: Sequence[int], port: float) -> str:
  """A smooth line through the chain: level in layers, curved between them."""
  radius = NODE_SIZE / 2

  def text(*values: float) -> str:
    return ' '.join(f'{_INCH * v + _MARGIN:.0f}' for v in values)

  x, y = layout.centers[chain[0]]
  x += radius
  parts = [f'M{text(x, y)}']
  for index in chain[1:]:
    left, right = layout.spans[layout.items[index].layer]
    next_y = layout.centers[index][1]
    if index == chain[-1]:
      next_y += port
      left = sum(layout.spans[layout.items[index].layer]) / 2
      # The arrow's head ends at the circle.
      left -= (radius**2 - port**2) ** 0.5 + 0.05
    middle = (x + left) / 2
    parts.append(f'C{text(middle, y, middle, next_y, left, next_y)}')
    if index != chain[-1]:
      parts.append(f'H{text(right)}')
    x, y = right, next_y
  return ''.join(parts)
