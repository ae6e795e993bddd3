"""The edges of a cell as lists of copies, for GPU and TPU.

All that leaves the same nodes runs together, as two lists of copies and sums of
what they give (operations/accelerator): a few kernels, whatever the operations
are. Which of them are active is data of these kernels, so that nothing is
conditional and a copy that rests costs nothing. Operations that the kernels do
not know run beside them as batches.

Axes: B batch, H W C, E edges, K operations, S sources, D destinations,
N copies.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.operations.accelerator.edges import FIRST, SECOND
from opp_darts_jax.operations.accelerator.fused import Moments, Stacks
from opp_darts_jax.operations.accelerator.primitives import GroupKernels
from opp_darts_jax.operations.accelerator.rows import take_rows
from opp_darts_jax.operations.gate import open_operation
from opp_darts_jax.operations.norm import unbiased
from opp_darts_jax.supernet.copies_plan import Norm, Other, Plan, plan
from opp_darts_jax.supernet.copies_weights import stacks
from opp_darts_jax.supernet.edges import CellEdges, Statistics, take_copies
from opp_darts_jax.supernet.groups import Group, Images, groups_of, run_groups


def run_edges(
  kernels: GroupKernels, cell: CellEdges, inputs: tuple[jax.Array, ...]
) -> tuple[jax.Array, Statistics]:
  """The cell's input nodes, (B, H, W, C) each -> its output."""
  groups = groups_of(cell)
  plans = [plan(cell, group) for group in groups]
  weights, mask = cell.weights_EK.ravel(), cell.mask_EK.ravel()
  # An operation of two copies on an edge has a weight for each of them.
  tables = jnp.tile(weights, 2), jnp.tile(mask, 2)
  own = kernels.expanded(stacks(cell))
  statistics: Statistics = {}

  def run_other(number, other, x):
    run = _run_shared if (other.edges < 0).all() else _run_own
    y = run(cell, groups[number], other, x, statistics)
    weights_DN = take_rows(weights, other.places_DN.ravel())
    return jnp.einsum(
      'dn,n...->d...',
      weights_DN.reshape(other.places_DN.shape),
      y,
      precision='highest',
    ).astype(x.dtype)

  def run(number, images):
    found = []
    others = plans[number].others
    if plans[number].edges is not None:
      found.append(
        _run_known(
          cell, kernels, plans[number], images, own, tables, statistics
        )
      )
    else:
      _rest(cell, plans[number], statistics)
    if others or not found:
      x, stride = images.plain, groups[number].phase.stride
      y = [run_other(number, other, x) for other in others]
      if not found and not y:
        size = x[0, :, ::stride, ::stride].shape
        y = [jnp.zeros((len(groups[number].fed), *size), x.dtype)]
      found.append(images.form.behind.enter(sum(y[1:], y[0])))
    return sum(found[1:], found[0])

  return run_groups(cell, inputs, groups, run, kernels.form), statistics


def _run_known(
  cell: CellEdges,
  kernels: GroupKernels,
  group_plan: Plan,
  images: Images,
  own: Stacks,
  tables: tuple[jax.Array, jax.Array],
  statistics: Statistics,
) -> jax.Array:
  """What the kernels sum, a list for the destinations."""
  edges = group_plan.edges
  assert edges is not None
  args = edges, images.x, own, *tables
  if not cell.train:
    moments = _running(cell, group_plan)
    return kernels.evaluate_edges(*args, moments, form=images.form)
  found, first, second = kernels.run_edges(*args, form=images.form)
  for known in group_plan.known:
    norms = [
      _of_norm(norm, first if norm.rows == FIRST else second)
      for norm in known.norms
    ]
    mean, var = (jnp.stack(t, 1) for t in zip(*norms))
    batch = {'mean': mean, 'var': unbiased(var, images.form.pixels)}
    name = known.operation.name
    statistics.setdefault(name, []).append((known.slots, batch))
  sums: jax.Array = found
  return sums


def _rest(cell: CellEdges, group_plan: Plan, statistics: Statistics) -> None:
  """Pools that no edge of the group has: their averages do not move."""
  for known in group_plan.known:
    o = known.operation
    batch = take_copies(cell.running[o.name], known.slots)
    statistics.setdefault(o.name, []).append((known.slots, batch))


def _of_norm(norm: Norm, moments: Moments | None) -> list[jax.Array]:
  """The moments of a norm's copies; halves of channels are 0 elsewhere."""
  assert moments is not None
  return [
    functools.reduce(
      jnp.add, [t[start : start + norm.copies] for start in norm.starts]
    )
    for t in moments
  ]


def _running(
  cell: CellEdges, group_plan: Plan
) -> tuple[Moments, Moments | None]:
  """The running averages of both lists."""
  found: list[dict[int, Any]] = [{}, {}]
  for known in group_plan.known:
    averages = cell.running[known.operation.name]
    for i, norm in enumerate(known.norms):
      mean, var = (averages[name][known.slots, i] for name in ('mean', 'var'))
      channels = np.arange(mean.shape[-1]) * len(norm.starts) // mean.shape[-1]
      for half, start in enumerate(norm.starts):
        found[norm.rows][start] = jnp.where(channels == half, mean, 0), var

  def joined(own):
    pairs = [own[start] for start in sorted(own)]
    mean, var = map(jnp.concatenate, zip(*pairs))
    return mean, var

  return joined(found[FIRST]), joined(found[SECOND]) if found[SECOND] else None


def _run_shared(
  cell: CellEdges,
  group: Group,
  other: Other,
  x: jax.Array,
  statistics: Statistics,
) -> jax.Array:
  """An operation once for each source, (S, B, H, W, C)."""
  o, stride = other.operation, group.phase.stride
  if o.operation.identity(stride):
    return x
  apply = open_operation(o.operation, stride, cell.train)
  running = take_copies(cell.running[o.name], other.slots)
  y, batch = jax.vmap(lambda r, x: apply({}, r, x, None))(running, x)
  if batch:
    statistics.setdefault(o.name, []).append((other.slots, batch))
  return y


def _run_own(
  cell: CellEdges,
  group: Group,
  other: Other,
  x: jax.Array,
  statistics: Statistics,
) -> jax.Array:
  """An operation on each edge that has it, (N, B, H, W, C)."""
  o = other.operation
  apply = open_operation(o.operation, group.phase.stride, cell.train)
  # Each copy has its source for itself, or its gradient were a scatter.
  each = jnp.split(x, len(x))
  x = jnp.concatenate([each[source] for source in other.sources])
  params = jax.tree.map(
    lambda t: take_rows(t, other.slots).astype(x.dtype), cell.params[o.name]
  )
  running = take_copies(cell.running[o.name], other.slots)
  y, batch = jax.vmap(apply)(params, running, x, cell.keys(other.edges))
  if batch:
    statistics.setdefault(o.name, []).append((other.slots, batch))
  return y
