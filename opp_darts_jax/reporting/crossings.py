"""The order of items in the layers of a picture, with few crossings of edges.

Sugiyama, Tagawa & Toda (1981): sweeps sort each layer by its neighbours.
"""

import itertools
import random
from collections.abc import Sequence

from opp_darts_jax.reporting.cell_items import Item

_STARTS = 12
_SWEEPS = 8


def order(
  items: Sequence[Item], links: Sequence[tuple[int, int]]
) -> list[list[int]]:
  """The items of each layer from top to bottom, with few crossings.

  Sweeps sort each layer by the mean place of its neighbours; of all the orders
  seen, from a few starts, the one with the cheapest crossings is kept.
  """
  best: list[list[int]] = []
  cheapest = float('inf')
  pairs, seen = _pairs(items, links), set()
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
      forward = sweep % 2 == 0
      placed = forward, *(i for layer in layers for i in layer)
      if placed in seen:  # What follows has been seen too.
        break
      seen.add(placed)
      cost = _crossing_cost(layers, pairs)
      if cost < cheapest:
        best, cheapest = layers, cost
      layers = _sweep(layers, links, forward)
    if not cheapest:
      break
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


def _pairs(
  items: Sequence[Item], links: Sequence[tuple[int, int]]
) -> list[tuple[int, int, int, int, int]]:
  """(a, b, c, d, cost) of links a to b and c to d that could cross."""
  return [
    (a, b, c, d, 3 if 'label' in (items[a].kind, items[c].kind) else 1)
    for (a, b), (c, d) in itertools.combinations(links, 2)
    if items[a].layer == items[c].layer and a != c and b != d
  ]


def _crossing_cost(
  layers: Sequence[Sequence[int]],
  pairs: Sequence[tuple[int, int, int, int, int]],
) -> int:
  """Pairs of links that cross; three times that between label and node."""
  row = {i: r for layer in layers for r, i in enumerate(layer)}
  return sum(
    cost for a, b, c, d, cost in pairs if (row[a] < row[c]) != (row[b] < row[d])
  )
