"""How kernels are written here: in Pallas, for TPUs by way of Mosaic.

The places of a grid come one after the other, so that sums over them may stay
in what is written. On a CPU they are interpreted: slow, and for tests alone.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from opp_darts_jax.operations.accelerator.lanes.tables import Tables
from opp_darts_jax.operations.accelerator.pallas import name_of
from opp_darts_jax.operations.target import current

# Of the 128 MB next to a TPU's cores.
_MEMORY_BYTES = 100 << 20
# Registers of 8 x 128 numbers that a value may take: a half of all.
_REGISTERS = 8


class Band(NamedTuple):
  """What a place of the grid sees of an array.

  Attributes:
    array: it, or for results its shape and type.
    shape: of the part.
    at: (the place's coordinates, tables) -> which part it is.
  """

  array: Any
  shape: tuple[int, ...]
  at: Callable[..., tuple[Any, ...]]


def whole(array: Any) -> Band:
  """All of it, at every place."""
  ndim = len(array.shape)
  return Band(array, array.shape, lambda *_: (0,) * ndim)


def call(
  kernel: Callable[..., None],
  grid: tuple[int, ...],
  tables: Tables,
  inputs: Any,
  outputs: Any,
  scratch: Any,
) -> Any:
  """Runs a kernel at all places of a grid, one after the other.

  Args:
    kernel: of a view of the tables, and references to inputs, outputs and
      scratch.
    grid: how many places there are on each axis.
    tables: of the group.
    inputs: pytree of `Band`.
    outputs: likewise.
    scratch: pytree of `jax.ShapeDtypeStruct`.
  """

  def parts_of(tree):
    return jax.tree.flatten(tree, is_leaf=lambda t: isinstance(t, Band))

  scalars = tables.arrays
  given, tree = parts_of(inputs)
  results, out_tree = parts_of(outputs)
  kept, kept_tree = jax.tree.flatten(scratch)
  axes = len(grid)

  def spec(part):
    def at(*args):
      index = part.at(*args[:axes], tables.view(args[axes:]))
      return tuple(jnp.asarray(i, jnp.int32) for i in index)

    return pl.BlockSpec(part.shape, at)

  def on_leaves(*refs):
    each = iter(refs)

    def take(leaves, tree):
      return jax.tree.unflatten(tree, [next(each) for _ in leaves])

    kernel(
      tables.view([next(each) for _ in scalars]),
      take(given, tree),
      take(results, out_tree),
      take(kept, kept_tree),
    )

  run = pl.pallas_call(
    on_leaves,
    grid_spec=pltpu.PrefetchScalarGridSpec(
      num_scalar_prefetch=len(scalars),
      grid=grid,
      in_specs=[spec(part) for part in given],
      out_specs=[spec(part) for part in results],
      scratch_shapes=[pltpu.VMEM(t.shape, t.dtype) for t in kept],
    ),
    out_shape=[
      jax.ShapeDtypeStruct(part.array.shape, part.array.dtype)
      for part in results
    ],
    name=name_of(kernel),
    **options(axes),
  )
  return jax.tree.unflatten(
    out_tree, run(*scalars, *(part.array for part in given))
  )


def options(axes: int) -> dict[str, Any]:
  """How a kernel on a grid of so many axes is compiled."""
  if current().platform == 'cpu':
    return {'interpret': True}
  order: Any = ('arbitrary',) * axes
  params = pltpu.CompilerParams(
    dimension_semantics=order, vmem_limit_bytes=_MEMORY_BYTES
  )
  return {'compiler_params': params}


def loop(count: Any, body: Callable[[Any, Any], Any], first: Any) -> Any:
  """`lax.fori_loop` from 0 on, of int32."""
  return lax.fori_loop(jnp.int32(0), jnp.asarray(count, jnp.int32), body, first)


def each_chunk(
  rows: int, images: int, lanes: int, run: Callable[[Any, int], None]
) -> None:
  """Runs (first row, how many) for as many rows at once as registers hold."""
  registers = -(-images // 8) * (lanes // 128)
  most = max(1, _REGISTERS // registers)
  size = max(n for n in range(1, rows + 1) if rows % n == 0 and n <= most)

  def turn(i, _):
    run(i * size, size)
    return 0

  loop(rows // size, turn, 0)


def lay(ref: Any, value: Any) -> None:
  """Fills all of it with a number, part by part of its first axis."""

  def turn(i, _):
    ref[i] = jnp.full(ref.shape[1:], value, ref.dtype)
    return 0

  loop(ref.shape[0], turn, 0)


def rotated(x: jax.Array, by: Any) -> jax.Array:
  """Lanes of (r, I, L) moved up by a number of them, around the end."""
  shape = x.shape
  lanes = jnp.int32(shape[-1])
  by = lax.rem(lax.rem(jnp.int32(by), lanes) + lanes, lanes)
  return pltpu.roll(x.reshape(-1, shape[-1]), by, 1).reshape(shape)


def folded(x: jax.Array, block: int) -> jax.Array:
  """Sums of (I, L) over images and blocks, (1, block)."""
  x = x.sum(0, keepdims=True)
  parts = [x[:, i : i + block] for i in range(0, x.shape[1], block)]
  return functools.reduce(jnp.add, parts)


def over_pixels(x: jax.Array, depth: int) -> jax.Array:
  """Sums of (1, block) over its pixels, for every pixel."""
  step = depth
  while step < x.shape[-1]:
    x = x + pltpu.roll(x, step, 1)
    step *= 2
  return x


def widened(x: jax.Array, lanes: int) -> jax.Array:
  """(1, block) for all blocks of a row, (1, L)."""
  return jnp.concatenate([x] * (lanes // x.shape[-1]), -1)


def times(
  x: jax.Array, w: jax.Array, precision: str | None, transposed: bool = False
) -> jax.Array:
  """Blocks of the lanes of (r, I, L) times a matrix; float32 or more."""
  wide = jnp.promote_types(x.dtype, jnp.float32)
  block = w.shape[-1]
  flat = x.reshape(-1, x.shape[-1])
  axes = ((1,), (1,)) if transposed else ((1,), (0,))
  parts = [
    lax.dot_general(
      flat[:, i : i + block],
      w,
      (axes, ((), ())),
      precision=_exact(precision, x.dtype),
      preferred_element_type=wide,
    )
    for i in range(0, flat.shape[1], block)
  ]
  return jnp.concatenate(parts, -1).reshape(x.shape)


def _exact(precision: str | None, dtype: Any) -> lax.Precision:
  """What Mosaic knows: one pass, or as exact as float32."""
  narrow = jnp.dtype(dtype).itemsize < 4
  if narrow or precision in (None, 'default', 'fastest', 'bfloat16'):
    return lax.Precision.DEFAULT
  return lax.Precision.HIGHEST


def outer(
  x: jax.Array, y: jax.Array, block: int, precision: str | None
) -> jax.Array:
  """Sums of products of (r, I, L) over all but a block, (block, block)."""
  wide = jnp.promote_types(x.dtype, jnp.float32)
  x, y = (t.reshape(-1, t.shape[-1]) for t in (x, y))
  total = jnp.zeros((block, block), wide)
  for i in range(0, x.shape[1], block):
    total += lax.dot_general(
      x[:, i : i + block],
      y[:, i : i + block],
      (((0,), (0,)), ((), ())),
      precision=_exact(precision, x.dtype),
      preferred_element_type=wide,
    )
  return total
