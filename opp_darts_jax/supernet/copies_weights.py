"""The weights of a cell's operations as stacks for the kernels of copies.

All operations that the kernels know are rows of the same stacks.

Axes: T taps, C channels.
"""

import jax
import jax.numpy as jnp

from opp_darts_jax.operations.accelerator.fused import Stacks
from opp_darts_jax.operations.operation import Fused
from opp_darts_jax.supernet.edges import CellEdges, CellOperation

REDUCE = 'factorized_reduce'


def stacks(cell: CellEdges) -> Stacks:
  """The weights of all operations of a cell that the kernels know."""
  depthwise, pointwise, seconds = [], [], []
  for o in with_weights(cell, 'separable'):
    params = cell.params[o.name]
    depthwise.append(params['depthwise'][:, 0])
    pointwise.append(params['pointwise'][:, 0])
    if repeats_of(o) == 2:
      seconds.append((params['depthwise'][:, 1], params['pointwise'][:, 1]))
  for o in with_weights(cell, REDUCE):
    # Each half of the channels is a copy's, whose other channels are 0.
    halves = cell.params[o.name]['pointwise']
    zeros = jnp.zeros_like(halves[:, 0])
    pointwise.append(jnp.concatenate([halves[:, 0], zeros], -1))
    pointwise.append(jnp.concatenate([zeros, halves[:, 1]], -1))
  channels = next(o.channels for o in cell.operations)
  return Stacks(
    _taps(depthwise, channels),
    _stacked(pointwise, (channels, channels)),
    _taps([k for k, _ in seconds], channels),
    _stacked([w for _, w in seconds], (channels, channels)),
  )


def _taps(kernels: list[jax.Array], channels: int) -> jax.Array:
  """Depthwise kernels (n, k, k, C) of several sizes as one (N, T, C)."""
  flat = [k.reshape(len(k), -1, channels) for k in kernels]
  most = max((k.shape[1] for k in flat), default=1)
  return _stacked(
    [jnp.pad(k, ((0, 0), (0, most - k.shape[1]), (0, 0))) for k in flat],
    (most, channels),
  )


def _stacked(arrays: list[jax.Array], shape: tuple[int, ...]) -> jax.Array:
  return jnp.concatenate(arrays) if arrays else jnp.zeros((1, *shape))


def first_rows(
  cell: CellEdges,
) -> tuple[dict[str, int], dict[str, int], int, int]:
  """Of each operation, its first rows in the stacks; the stacks' sizes.

  Of the depthwise and 1x1 weights of first units, which are numbered alike, and
  of those of second ones.
  """
  first: dict[str, int] = {}
  second: dict[str, int] = {}
  count = seconds = 0
  for o in with_weights(cell, 'separable'):
    first[o.name] = count
    count += len(cell.params[o.name]['pointwise'])
    if repeats_of(o) == 2:
      second[o.name] = seconds
      seconds += len(cell.params[o.name]['pointwise'])
  for o in with_weights(cell, REDUCE):
    first[o.name] = count
    count += 2 * len(cell.params[o.name]['pointwise'])
  return first, second, count, seconds


def with_weights(cell: CellEdges, kind: str) -> list[CellOperation]:
  """The operations of a kind that have weights in the cell."""
  strides = {phase.stride for phase in cell.phases}
  return [
    o
    for o in cell.operations
    if cell.params[o.name]
    and any(kind_of(form_of(o, stride)) == kind for stride in strides)
  ]


def form_of(o: CellOperation, stride: int) -> Fused | None:
  """What the kernels know of an operation; None if they do not know it."""
  form = o.operation.fused(stride)
  if form is not None and form.kind == 'separable' and form.unit.repeats > 2:
    return None
  return form


def kind_of(form: Fused | None) -> str:
  """Of a form; '' of none."""
  return form.kind if form is not None else ''


def repeats_of(o: CellOperation) -> int:
  """How often a separable operation repeats its unit."""
  form = form_of(o, 1)
  assert form is not None
  return form.unit.repeats
