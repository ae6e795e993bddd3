"""The edges of a cell as batches, for GPU and TPU.

All edges that leave the same nodes run together, an operation's copies as one
batch: few large kernels where loop.py has many small ones. The inputs of a
cell, which are known together, leave together.

Axes: B batch, H W C, E edges, S sources, D destinations, K operations.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.operations.gate import gated_operation
from opp_darts_jax.operations.operation import halved
from opp_darts_jax.supernet.edges import (
  CellEdges,
  Phase,
  Statistics,
  take_copies,
  weigh,
)


def run_edges(
  cell: CellEdges, inputs: tuple[jax.Array, ...]
) -> tuple[list[jax.Array], Statistics]:
  """The cell's input nodes -> its intermediate nodes, (B, H, W, C) each."""
  nodes = list(inputs)
  first = len(nodes)
  sums: list[list[jax.Array]] = [[] for _ in range(cell.nodes)]
  beside: list[list[jax.Array]] = [[] for _ in range(cell.nodes)]
  statistics: Statistics = {}

  def complete(count):
    while len(nodes) < count:
      arrived = len(nodes) - first
      node = functools.reduce(jnp.add, sums[arrived])
      if cell.partial is not None:
        rest = functools.reduce(jnp.add, beside[arrived])
        node = cell.partial.join(node, rest)
      nodes.append(node)

  for phase in cell.phases:
    for group in _groups(phase, first):
      sources = [phase.sources[row] for row in group]
      complete(sources[-1] + 1)
      x = jnp.stack([nodes[source] for source in sources])
      edges_SD = phase.edges_SD[group]
      fed = np.flatnonzero((edges_SD >= 0).any(0))
      at = [phase.first + int(d) for d in fed]
      if cell.partial is not None:
        x, rest = cell.partial.split(x)
        passed = _run_beside(cell, phase, edges_SD[:, fed], rest)
        for destination, y in zip(at, passed):
          beside[destination].append(y)
      total = _run_group(cell, phase, group, fed, x, statistics)
      for destination, y in zip(at, total):
        sums[destination].append(y)
  complete(first + cell.nodes)
  return nodes[first:], statistics


def _groups(phase: Phase, inputs: int) -> list[list[int]]:
  """Rows of the phase's sources that are known together."""
  known = [i for i, source in enumerate(phase.sources) if source < inputs]
  others = [[i] for i, source in enumerate(phase.sources) if source >= inputs]
  return [known, *others] if known else others


def _run_beside(
  cell: CellEdges, phase: Phase, edges_SD: np.ndarray, rest: jax.Array
) -> jax.Array:
  """What passes beside the operations, (D, B, H, W, C'), by edge."""
  partial = cell.partial
  assert partial is not None
  weights_SD = cell.edge_weights(edges_SD)
  passed = jax.vmap(lambda r: partial.beside(r, phase.stride))(rest)
  return weigh(weights_SD, passed).astype(rest.dtype)


def _run_group(
  cell: CellEdges,
  phase: Phase,
  group: list[int],
  fed: np.ndarray,
  x: jax.Array,
  statistics: Statistics,
) -> jax.Array:
  """What the edges that leave the group's sources, x (S, B, H, W, C), carry.

  Returns:
    What reaches each of the nodes `fed`; the norms' statistics go into
    `statistics`.
  """
  edges_SD = phase.edges_SD[group][:, fed]
  count, destinations = edges_SD.shape
  exists_SD = edges_SD >= 0
  weights_SDK = jnp.where(exists_SD[..., None], cell.weights_EK[edges_SD], 0.0)
  mask_SDK = exists_SD[..., None] & cell.mask_EK[edges_SD]
  total: Any = 0.0
  for o in cell.operations:
    if not o.present(phase):
      continue
    apply = gated_operation(
      o.operation, phase.stride, cell.train, batched=True, recompute=False
    )
    if o.shared(phase):
      y = x
      if not o.operation.identity(phase.stride):
        slots = o.slots(phase)[group]
        y, batch = apply(
          mask_SDK[..., o.column].any(),
          jnp.ones(count),
          {},
          take_copies(cell.running[o.name], slots),
          x,
          None,
        )
        if batch:
          statistics.setdefault(o.name, []).append((slots, batch))
      total += weigh(weights_SDK[..., o.column], y)
      continue
    slots = o.slots(phase)[group][:, fed]
    copies = slots >= 0
    if not copies.any():
      continue
    at = np.nonzero(copies)
    edges = edges_SD[at]
    y, batch = apply(
      cell.mask_EK[edges, o.column].any(),
      cell.weights_EK[edges, o.column],
      take_copies(cell.params[o.name], slots[at]),
      take_copies(cell.running[o.name], slots[at]),
      jnp.repeat(x, destinations, 0) if copies.all() else x[at[0]],
      cell.keys(edges),
    )
    if batch:
      statistics.setdefault(o.name, []).append((slots[at], batch))
    if copies.all():
      total += y.reshape(count, destinations, *y.shape[1:]).sum(0)
    else:
      total = total + jax.ops.segment_sum(y, at[1], destinations)
  size = halved((x.shape[2], x.shape[3]), phase.stride)
  shape = (destinations, x.shape[1], *size, x.shape[-1])
  return jnp.broadcast_to(total, shape).astype(x.dtype)
