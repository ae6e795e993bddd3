"""The edges of a cell as batches, for GPU and TPU.

All edges that leave the same nodes run together, an operation's copies as one
batch: few large kernels where edge_loop.py has many small ones. The two inputs
of a cell, which are known together, leave together.

Axes: B batch, H W C, E edges, S sources, D destinations, K operations.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.operations.gate import gated_operation
from opp_darts_jax.supernet.edges import (
  CellEdges,
  Phase,
  Statistics,
  take_copies,
)


def run_edges(
  cell: CellEdges, s0: jax.Array, s1: jax.Array
) -> tuple[list[jax.Array], Statistics]:
  """The cell's input nodes -> its intermediate nodes, (B, H, W, C) each."""
  nodes = [s0, s1]
  sums: list[list[jax.Array]] = [[] for _ in range(cell.nodes)]
  statistics: Statistics = {}

  def complete(count):
    while len(nodes) < count:
      nodes.append(functools.reduce(jnp.add, sums[len(nodes) - 2]))

  for phase in cell.phases:
    for group in _groups(phase):
      sources = [phase.sources[row] for row in group]
      complete(sources[-1] + 1)
      x = jnp.stack([nodes[source] for source in sources])
      for destination, y in _run_group(cell, phase, group, x, statistics):
        sums[destination].append(y)
  complete(cell.nodes + 2)
  return nodes[2:], statistics


def _groups(phase: Phase) -> list[list[int]]:
  """Rows of the phase's sources that are known together."""
  inputs = [i for i, source in enumerate(phase.sources) if source < 2]
  others = [[i] for i, source in enumerate(phase.sources) if source >= 2]
  return [inputs, *others] if inputs else others


def _run_group(
  cell: CellEdges,
  phase: Phase,
  group: list[int],
  x: jax.Array,
  statistics: Statistics,
) -> list[tuple[int, jax.Array]]:
  """What the edges that leave the group's sources, x (S, B, H, W, C), carry.

  Returns:
    (intermediate node, what reaches it); the norms' statistics go into
    `statistics`.
  """
  edges_SD = phase.edges_SD[group]
  exists_D = edges_SD[0] >= 0
  edges_SD = edges_SD[:, exists_D]
  count, destinations = edges_SD.shape
  weights_SDK = cell.weights_EK[edges_SD]
  total: Any = 0.0
  for o in cell.operations:
    if not o.present(phase):
      continue
    apply = gated_operation(
      o.primitive, phase.stride, cell.train, batched=True, recompute=False
    )
    if o.shared(phase):
      y = x
      if o.norms(phase):
        slots = o.slots(phase)[group]
        y, batch = apply(
          cell.mask_EK[edges_SD, o.column].any(),
          jnp.ones(count),
          {},
          take_copies(cell.running[o.name], slots),
          x,
          None,
        )
        statistics.setdefault(o.name, []).append((slots, batch))
      total += jnp.einsum('sd,s...->d...', weights_SDK[..., o.column], y)
      continue
    slots = o.slots(phase)[group][:, exists_D]
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
  first = phase.first + int(np.argmax(exists_D))
  return [(first + i, total[i].astype(x.dtype)) for i in range(destinations)]
