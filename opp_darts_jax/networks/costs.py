"""What the network of a cell costs, as a table of operations on edges.

Whatever is between the cells and in front of their edges is in all networks of
a space: the rest is a sum over the edges of a genotype. So costs are tables
{kind of cell: (E, K)}, each entry the sum over all cells of that kind, and a
number for what is fixed; of a genotype they are exact.

Axes: E edges of a cell, K operations of the space.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.cell import NONE, Cell, Edge
from opp_darts_jax.genotypes.derive import PLACES
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.memoized import memoized
from opp_darts_jax.networks import summary
from opp_darts_jax.networks.cell import Draws, EdgeOperation
from opp_darts_jax.networks.network import Network, count_weights
from opp_darts_jax.operations.operation import Operation, Size
from opp_darts_jax.spaces.space import (
  Space,
  derive_every_edge,
  derive_two_edges,
)


class Site(NamedTuple):
  """Where an operation is computed: channels, stride, (H, W) of its input."""

  channels: int
  stride: int
  size: Size


class Sites(NamedTuple):
  """All edges of the cells of a network.

  Attributes:
    edges: {kind: for each edge the sites of it, one for each cell}.
    fixed: what is not on edges: weights and multiply-adds.
  """

  edges: Mapping[str, tuple[tuple[Site, ...], ...]]
  fixed: summary.Totals

  def distinct(self) -> list[Site]:
    """Each once."""
    every = (
      site for rows in self.edges.values() for row in rows for site in row
    )
    return list(dict.fromkeys(every))


class Costs(NamedTuple):
  """Of the networks of a space, at some size.

  Attributes:
    quantity: what is counted: 'multiply_adds', 'weights' or 'latency'.
    names: of the K operations.
    edges: of the graph, (source, node).
    fixed: what every network takes.
    tables: (kind, rows (E, K)) for each kind of cell.
  """

  quantity: str
  names: tuple[str, ...]
  edges: tuple[tuple[int, int], ...]
  fixed: float
  tables: tuple[tuple[str, tuple[tuple[float, ...], ...]], ...]

  def table(self, kind: str) -> np.ndarray:
    """(E, K), of all cells of a kind."""
    return np.array(dict(self.tables)[kind])

  def of(self, genotype: Genotype) -> float:
    """What the network of a genotype takes."""
    total = self.fixed
    for cell in genotype.cells:
      table = dict(self.tables)[cell.kind]
      for edge in cell.edges:
        row = self.edges.index((edge.source, edge.node))
        if edge.operation in self.names:
          total += table[row][self.names.index(edge.operation)]
    return total


def bounds(
  costs: Costs,
  space: Space,
  mask: Mapping[str, np.ndarray],
  every_edge: bool = False,
) -> tuple[float, float]:
  """What the cheapest and the dearest cells that a space derives take.

  Args:
    costs: of it.
    space: whose rule derives; by one of its own these are `loose_bounds`.
    mask: {kind: bool (E, K)}, the operations that there are.
    every_edge: whether all edges are kept where the rule is to keep two.
  """
  if space.derive not in (derive_two_edges, derive_every_edge):
    return loose_bounds(costs, mask)
  two_edges = space.derive is derive_two_edges and not every_edge
  least = most = costs.fixed
  for kind in space.kinds:
    table, allowed = costs.table(kind), np.array(mask[kind])
    if two_edges and NONE in space.names:
      allowed[:, space.names.index(NONE)] = False
    for node in space.graph.intermediate:
      rows = [row for row in space.graph.into(node) if allowed[row].any()]
      places = min(PLACES, len(space.graph.into(node)))
      low = sorted(table[row][allowed[row]].min() for row in rows)
      high = sorted(-table[row][allowed[row]].max() for row in rows)
      if two_edges:  # One usable edge is taken twice.
        low, high = (low * PLACES)[:places], (high * PLACES)[:places]
      least, most = least + sum(low), most - sum(high)
  return float(least), float(most)


def loose_bounds(
  costs: Costs, mask: Mapping[str, np.ndarray]
) -> tuple[float, float]:
  """What cells without edges take, and those of all edges with the dearest."""
  most = costs.fixed
  for kind, allowed_EK in mask.items():
    dearest_E = np.where(allowed_EK, costs.table(kind), -np.inf).max(1)
    most += dearest_E[np.isfinite(dearest_E)].sum()
  return float(costs.fixed), float(most)


def table_of(
  space: Space,
  sites: Sites,
  quantity: str,
  one: Callable[[Operation, Site], float],
  fixed: float,
) -> Costs:
  """Costs, by what an operation takes at a site, and what is fixed."""
  one = functools.cache(one)
  tables = tuple(
    (
      kind,
      tuple(
        tuple(
          float(sum(one(operation.in_network, site) for site in row))
          for operation in space.operations
        )
        for row in sites.edges.get(kind, ((),) * space.graph.num_edges)
      ),
    )
    for kind in space.kinds
  )
  return Costs(quantity, space.names, space.graph.edges, fixed, tables)


def counted(space: Space, sites: Sites, quantity: str) -> Costs:
  """Costs in multiply-adds of an image, or in weights.

  Raises:
    UserError: if an operation does not say how many multiply-adds it takes.
  """
  if quantity == 'weights':
    return table_of(space, sites, quantity, weights, sites.fixed.weights)
  for operation in space.operations:
    own = operation.in_network
    if not own.says_multiply_adds and any(
      weights(own, site) for site in sites.distinct()
    ):
      raise UserError(
        f'The operation {own.name!r} has weights and does not say how many '
        "multiply-adds it takes, which cost.quantity='multiply_adds' counts: "
        'give its record a `multiply_adds`.'
      )
  return table_of(
    space,
    sites,
    quantity,
    lambda operation, site: operation.multiply_adds(*site),
    sites.fixed.multiply_adds,
  )


def weights(operation: Operation, site: Site) -> int:
  """How many an operation of a network has, those of its norms among them."""
  x = jax.ShapeDtypeStruct((1, *site.size, site.channels), jnp.float32)
  module = EdgeOperation(operation, site.channels, site.stride)
  key = jax.random.key(0)
  init = functools.partial(module.init, train=True, draws=Draws(None, key))
  found = jax.eval_shape(init, key, x)
  return count_weights({'params': found.get('params', {})})


@memoized(8)
def sites_of(
  space: Space,
  layers: int,
  channels: int,
  image_shape: tuple[int, ...],
  classes: int,
  imagenet: bool = False,
) -> Sites:
  """The edges of a network, by a look at one that has them all.

  Args:
    space: of its cells.
    layers: of the network.
    channels: of its first cell.
    image_shape: (H, W, C).
    classes: of the images.
    imagenet: whether it is the one for large images.
  """
  graph = space.graph
  first = space.names[0]
  cells = tuple(
    Cell(
      kind,
      graph.inputs,
      tuple(Edge(first, *edge) for edge in graph.edges),
      graph.output,
    )
    for kind in space.kinds
  )
  network = Network(
    Genotype(cells),
    layers,
    channels,
    classes,
    imagenet=imagenet,
    stack=False,
    space=space,
  )
  kinds = {part.name: part.kind for part in network.plan}
  found: dict[str, list[list[Site]]] = {
    kind: [[] for _ in graph.edges] for kind in space.kinds
  }

  def watch(call, args, kwargs, context):
    module = context.module
    if isinstance(module, EdgeOperation) and context.method_name == '__call__':
      part, edge = module.path
      site = Site(module.channels, module.stride, args[0].shape[1:3])
      found[kinds[part]][int(edge.removeprefix('edge'))].append(site)
    return call(*args, **kwargs)

  with nn.intercept_methods(watch):
    whole = summary.totals(summary.describe(network, image_shape))
  edges = {kind: tuple(map(tuple, rows)) for kind, rows in found.items()}
  own = space.operations[0].in_network
  each: Sequence[Site] = [s for rows in edges.values() for r in rows for s in r]
  fixed = summary.Totals(
    whole.weights - sum(weights(own, site) for site in each),
    whole.multiply_adds - sum(own.multiply_adds(*site) for site in each),
  )
  return Sites(edges, fixed)
