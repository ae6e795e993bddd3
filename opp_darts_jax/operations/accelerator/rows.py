"""Rows of a stack in another order, whose gradient is no scatter."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from opp_darts_jax.operations.primitive import compile_eagerly


def take_rows(x: jax.Array, rows: Sequence[int] | np.ndarray) -> jax.Array:
  """Some rows of (R, ...), none twice, in the order given; 0 for -1."""
  return _rows_p.bind(x, rows=tuple(map(int, rows)), count=len(x))


def _take(x: jax.Array, *, rows: tuple[int, ...], count: int) -> jax.Array:
  del count
  if rows == tuple(range(len(x))):
    return x
  at = np.array(rows)
  taken = x.at[np.maximum(at, 0)].get(mode='promise_in_bounds')
  if (at >= 0).all():
    return taken
  return jnp.where((at >= 0).reshape(-1, *[1] * (x.ndim - 1)), taken, 0)


def _transpose(
  g: jax.Array, x: jax.Array, *, rows: tuple[int, ...], count: int
) -> list[jax.Array]:
  del x
  places = {row: at for at, row in enumerate(rows) if row >= 0}
  back = tuple(places.get(row, -1) for row in range(count))
  return [_rows_p.bind(g, rows=back, count=len(rows))]


def _batch(args, axes, **params):
  # The first axis is the rows', whatever the others are.
  return _rows_p.bind(jnp.moveaxis(args[0], axes[0], 1), **params), 1


_rows_p = Primitive('take_rows')
compile_eagerly(_rows_p)
_rows_p.def_abstract_eval(
  lambda x, *, rows, count: ShapedArray((len(rows), *x.shape[1:]), x.dtype)
)
mlir.register_lowering(_rows_p, mlir.lower_fun(_take, multiple_results=False))
ad.deflinear2(_rows_p, _transpose)
batching.primitive_batchers[_rows_p] = _batch
