"""Where everything goes in the picture of a cell: pure geometry, in inches.

The layout is layered, after Sugiyama, Tagawa & Toda (1981). A node stands in
the layer of its longest path from the inputs; the operation of an edge is an
item of its own, in a layer just left of the node that it feeds; an edge that
spans more layers bends at an invisible item in each. Items of a layer are kept
apart and curves run between layers only, so that no label can ever cover a
node, a label or an edge, whatever the cell.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from opp_darts_jax.genotypes.genotype import Cell
from opp_darts_jax.reporting import crossings
from opp_darts_jax.reporting.cell_items import Item, items_and_chains

_GAP = {'node': 0.3, 'label': 0.12, 'bend': 0.16}
_ROUNDS = 60
_STILL = 1e-3  # inches: less than a tenth of a pixel


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


def layout_cell(cell: Cell) -> Layout:
  """Places nodes, labels and bends so that nothing overlaps."""
  items, chains = items_and_chains(cell)
  links = sorted({pair for c in chains for pair in itertools.pairwise(c)})
  layers = crossings.order(items, links)
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
  totals = [sum(w for _, w in own) or 1.0 for own in near]
  ys = [0.0] * len(items)
  for layer in layers:
    for row, i in enumerate(layer):
      ys[i] = 0.4 * (row - (len(layer) - 1) / 2)
  fixed = [(layer, [totals[i] for i in layer], _gaps(items, layer))
           for layer in layers]  # fmt: skip
  for _ in range(_ROUNDS):
    before = list(ys)
    for layer, weights, gaps in (*fixed, *fixed[::-1]):
      wanted = [
        sum([w * ys[j] for j, w in near[i]]) / totals[i] if near[i] else ys[i]
        for i in layer
      ]
      for i, y in zip(layer, spread(wanted, weights, gaps)):
        ys[i] = y
    if max(abs(y - old) for y, old in zip(ys, before)) < _STILL:
      break
  top = min(y - item.size[1] / 2 for item, y in zip(items, ys))
  return [y - top for y in ys]


def _gaps(items: Sequence[Item], layer: Sequence[int]) -> list[float]:
  """How far the centers of neighbours in a layer are apart, at least."""
  return [
    (items[i].size[1] + items[j].size[1]) / 2
    + max(_GAP[items[i].kind], _GAP[items[j].kind])
    for i, j in itertools.pairwise(layer)
  ]


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
