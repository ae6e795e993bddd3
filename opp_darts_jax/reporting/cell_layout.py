"""Where everything goes in the picture of a cell: pure geometry, in inches.

The layout is layered, after Sugiyama, Tagawa & Toda (1981). A node stands in
the layer of its longest path from the inputs; the operation of an edge is an
item of its own, in a layer just left of the node that it feeds; an edge that
spans more layers bends at an invisible item in each. Items of a layer are kept
apart and curves run between layers only, so that no label can ever cover a
node, a label or an edge, whatever the cell.
"""

import itertools
import random
from collections.abc import Sequence
from typing import NamedTuple

from opp_darts_jax.genotypes.genotype import Cell

NODE_SIZE = 0.46
LABEL_HEIGHT = 0.26
_CHARACTER = 0.084  # width of usual letters, in the widest usual font
_GAP = {'node': 0.3, 'label': 0.12, 'bend': 0.16}
_STARTS = 12
_SWEEPS = 8


class Item(NamedTuple):
  """A node, the label of an edge, or a bend where an edge crosses a layer.

  `number` is the node's index in the cell (inputs first, output last); labels
  and bends have that of the node that their edge feeds.
  """

  kind: str
  layer: int
  number: int
  text: str = ''

  @property
  def size(self) -> tuple[float, float]:
    """Width and height."""
    if self.kind == 'node':
      return NODE_SIZE, NODE_SIZE
    if self.kind == 'label':
      return _CHARACTER * len(self.text) + 0.14, LABEL_HEIGHT
    return 0.0, 0.0


class Layout(NamedTuple):
  """A cell ready to draw; y grows downwards.

  Attributes:
    items: nodes first, by their number, then labels and bends.
    chains: for each edge, the indices of the items it runs through, source
      first, target last; the edges of operations in the cell's order, then
      those to the output.
    centers: x and y of each item.
    spans: left and right end of each layer, where edges run horizontally.
    size: width and height of all.
  """

  items: tuple[Item, ...]
  chains: tuple[tuple[int, ...], ...]
  centers: tuple[tuple[float, float], ...]
  spans: tuple[tuple[float, float], ...]
  size: tuple[float, float]


def node_depths(cell: Cell) -> list[int]:
  """Longest path from the inputs to each node: inputs (0), then the others.

  A node without edges stands with the first that have some.
  """
  depths = [0] * cell.inputs
  for node in range(cell.inputs, cell.inputs + cell.nodes):
    sources = [edge.source for edge in cell.into(node)]
    depths.append(1 + max((depths[source] for source in sources), default=0))
  return depths


def layout_cell(cell: Cell) -> Layout:
  """Places nodes, labels and bends so that nothing overlaps."""
  items, chains = _items_and_chains(cell)
  links = sorted({pair for c in chains for pair in itertools.pairwise(c)})
  layers = _order(items, links)
  ys = _heights(items, links, layers)
  spans: list[tuple[float, float]] = []
  for index, layer in enumerate(layers):
    width = max((items[i].size[0] for i in layer), default=0.0)
    # Steep curves are ugly: the farther an edge climbs, the more room.
    climb = max(
      (abs(ys[a] - ys[b]) for a, b in links if items[b].layer == index),
      default=0.0,
    )
    left = spans[-1][1] + 0.3 + 0.22 * climb if spans else 0.0
    spans.append((left, left + width))
  centers = tuple((sum(spans[item.layer]) / 2, y) for item, y in zip(items, ys))
  height = max(y + item.size[1] / 2 for item, y in zip(items, ys))
  return Layout(
    tuple(items), tuple(chains), centers, tuple(spans), (spans[-1][1], height)
  )


def _items_and_chains(
  cell: Cell,
) -> tuple[list[Item], list[tuple[int, ...]]]:
  """The items, nodes first, and the items that each edge runs through."""
  depths = node_depths(cell)
  output = len(depths)
  items = [Item('node', 2 * depth, n) for n, depth in enumerate(depths)]
  items.append(Item('node', 2 * max(depths) + 1, output))
  edges = [(edge.source, edge.node, edge.operation) for edge in cell.edges]
  edges += [(node, output, '') for node in cell.output]
  chains = []
  for source, target, text in edges:
    chain = [source]
    for layer in range(items[source].layer + 1, items[target].layer):
      is_label = bool(text) and layer == items[target].layer - 1
      kind = 'label' if is_label else 'bend'
      chain.append(len(items))
      items.append(Item(kind, layer, target, text if is_label else ''))
    chains.append((*chain, target))
  return items, chains


def _order(
  items: Sequence[Item], links: Sequence[tuple[int, int]]
) -> list[list[int]]:
  """The items of each layer from top to bottom, with few crossings.

  Sweeps sort each layer by the mean place of its neighbours; of all the orders
  seen, from a few starts, the one with the cheapest crossings is kept.
  """
  best: list[list[int]] = []
  cheapest = float('inf')
  for seed in range(_STARTS):
    shuffle = random.Random(seed).random
    key = [float(n) if seed == 0 else shuffle() for n in range(len(items))]
    # One may be empty: that before a node without edges.
    last = max(item.layer for item in items)
    layers: list[list[int]] = [[] for _ in range(last + 1)]
    for i in sorted(range(len(items)), key=lambda i: key[items[i].number]):
      layers[items[i].layer].append(i)
    layers[0].sort()  # c_{k-2} on top, as readers expect; sweeps keep it
    for sweep in range(_SWEEPS):
      cost = _crossing_cost(items, layers, links)
      if cost < cheapest:
        best, cheapest = layers, cost
      layers = _sweep(layers, links, forward=sweep % 2 == 0)
  return best


def _sweep(
  layers: Sequence[Sequence[int]],
  links: Sequence[tuple[int, int]],
  forward: bool,
) -> list[list[int]]:
  """Sorts the layers after the inputs by the mean place of their neighbours.

  Those in the layer before, from left to right; or, if not forward, those in
  the layer after, from right to left.
  """
  near: dict[int, list[int]] = {}
  for a, b in links:
    near.setdefault(b if forward else a, []).append(a if forward else b)
  swept = [list(layer) for layer in layers]
  for level in range(1, len(swept))[:: 1 if forward else -1]:
    place = {
      i: row / len(layer) for layer in swept for row, i in enumerate(layer)
    }
    means = {
      i: sum(place[j] for j in near.get(i, [i])) / len(near.get(i, [i]))
      for i in swept[level]
    }
    swept[level].sort(key=means.__getitem__)
  return swept


def _crossing_cost(
  items: Sequence[Item],
  layers: Sequence[Sequence[int]],
  links: Sequence[tuple[int, int]],
) -> int:
  """Pairs of links that cross; three times that between label and node."""
  row = {i: r for layer in layers for r, i in enumerate(layer)}
  return sum(
    3 if 'label' in (items[a].kind, items[c].kind) else 1
    for (a, b), (c, d) in itertools.combinations(links, 2)
    if items[a].layer == items[c].layer
    and (row[a] - row[c]) * (row[b] - row[d]) < 0
  )


def _heights(
  items: Sequence[Item],
  links: Sequence[tuple[int, int]],
  layers: Sequence[Sequence[int]],
) -> list[float]:
  """The y of each item: near its neighbours, in order and apart."""
  near: list[list[tuple[int, float]]] = [[] for _ in items]
  for a, b in links:
    # Links without a node at an end belong to long edges: keep those straight.
    weight = 1.0 if 'node' in (items[a].kind, items[b].kind) else 24.0
    near[a].append((b, weight))
    near[b].append((a, weight))
  ys = [0.0] * len(items)
  for layer in layers:
    for row, i in enumerate(layer):
      ys[i] = 0.4 * (row - (len(layer) - 1) / 2)
  order = [*layers, *layers[::-1]]
  for layer in order * 60:
    weights = [sum(w for _, w in near[i]) or 1.0 for i in layer]
    wanted = [
      sum(w * ys[j] for j, w in near[i]) / total if near[i] else ys[i]
      for i, total in zip(layer, weights)
    ]
    gaps = [
      (items[i].size[1] + items[j].size[1]) / 2
      + max(_GAP[items[i].kind], _GAP[items[j].kind])
      for i, j in itertools.pairwise(layer)
    ]
    for i, y in zip(layer, spread(wanted, weights, gaps)):
      ys[i] = y
  top = min(y - item.size[1] / 2 for item, y in zip(items, ys))
  return [y - top for y in ys]


def spread(
  wanted: Sequence[float], weights: Sequence[float], gaps: Sequence[float]
) -> list[float]:
  """The places nearest to `wanted` that keep order and at least `gaps`.

  Weighted least squares: without the gaps it is isotonic regression, which
  pooling neighbours that are out of order solves exactly.
  """
  offsets = [0.0, *itertools.accumulate(gaps)]
  pools: list[tuple[float, float, int]] = []  # mean, weight, members
  for want, weight, offset in zip(wanted, weights, offsets):
    mean, members = want - offset, 1
    while pools and pools[-1][0] > mean:
      mean_before, weight_before, members_before = pools.pop()
      total = weight + weight_before
      mean = (mean * weight + mean_before * weight_before) / total
      weight, members = total, members + members_before
    pools.append((mean, weight, members))
  means = [mean for mean, _, members in pools for _ in range(members)]
  return [mean + offset for mean, offset in zip(means, offsets)]
