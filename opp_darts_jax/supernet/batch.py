"""The edges of a cell as batches, for TPU.

All edges that leave the same nodes run together, an operation's copies as one
batch: few large kernels where loop.py has many small ones. The inputs of a
cell, which are known together, leave together.

Axes: B batch, H W C, E edges, S sources, D destinations, K operations.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.operations.accelerator.fused import Plain
from opp_darts_jax.operations.gate import gated_operation
from opp_darts_jax.operations.operation import halved
from opp_darts_jax.supernet.edges import (
  CellEdges,
  Statistics,
  take_copies,
  weigh,
)
from opp_darts_jax.supernet.groups import Group, groups_of, run_groups


def run_edges(
  cell: CellEdges, inputs: tuple[jax.Array, ...]
) -> tuple[list[jax.Array], Statistics]:
  """The cell's input nodes -> its intermediate nodes, (B, H, W, C) each."""
  cell = cell.rounded(inputs[0].dtype)
  groups = groups_of(cell)
  statistics: Statistics = {}

  def run(number, images):
    return _run_group(cell, groups[number], images.x, statistics)

  return run_groups(cell, inputs, groups, run, Plain), statistics


def _run_group(
  cell: CellEdges, group: Group, x: jax.Array, statistics: Statistics
) -> jax.Array:
  """What the edges that leave the group's sources, x (S, B, H, W, C), carry.

  Returns:
    What reaches each of its destinations; the norms' statistics go into
    `statistics`.
  """
  phase, edges_SD = group.phase, group.edges_SD
  rows, fed = list(group.rows), list(group.fed)
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
        slots = o.slots(phase)[rows]
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
    slots = o.slots(phase)[rows][:, fed]
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
