"""3x3 pools with padding 1, as PyTorch's, forward and backward."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.interpreters import ad

from opp_darts_jax.operations.depthwise import (
  depthwise_conv,
  out_size,
  pad,
  window,
)
from opp_darts_jax.operations.primitive import define_channelwise

_TAPS = [(row, column) for row in range(3) for column in range(3)]


def avg_pool(x: jax.Array, stride: int) -> jax.Array:
  """Mean of the 3x3 pixels around, not counting padding.

  Args:
    x: (B, H, W, C).
    stride: of both axes.

  Returns:
    (B, ceil(H / stride), ceil(W / stride), C).
  """

  def counts(size):
    at = jnp.arange(0, size, stride)
    return 3 - (at == 0) - (at == size - 1)

  ones = jnp.ones((3, 3, x.shape[-1]), x.dtype)
  count = counts(x.shape[1])[:, None] * counts(x.shape[2])
  return depthwise_conv(x, ones, stride) / count[..., None].astype(x.dtype)


def max_pool(x: jax.Array, stride: int) -> jax.Array:
  """Largest of the 3x3 pixels around; the first takes ties and gradients.

  Args:
    x: (B, H, W, C).
    stride: of both axes.

  Returns:
    (B, ceil(H / stride), ceil(W / stride), C).
  """
  return _max_and_tap(x, stride)[0]


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _max_and_tap(x: jax.Array, stride: int) -> tuple[jax.Array, jax.Array]:
  """The largest pixels, and which of the 3x3 each of them is."""
  height, width = (out_size(n, stride) for n in x.shape[1:3])
  padded = pad(x, 1, -jnp.inf)
  best = window(padded, 0, 0, height, width, stride)
  tap = jnp.zeros(best.shape, jnp.int8)
  for i, at in enumerate(_TAPS[1:], 1):
    pixel = window(padded, *at, height, width, stride)
    tap = jnp.where(pixel > best, jnp.int8(i), tap)
    best = jnp.maximum(pixel, best)
  return best, tap


@_max_and_tap.defjvp
def _max_and_tap_jvp(stride, primals, tangents):
  (x,), (x_dot,) = primals, tangents
  y, tap = _max_and_tap(x, stride)
  y_dot = _take_p.bind(x_dot, tap, stride=stride, size=x.shape[1:3])
  return (y, tap), (y_dot, np.zeros(tap.shape, jax.dtypes.float0))


# Taking pixels by tap and giving gradients back to them are each other's
# transpose. As primitives with linear rules they serve a derivative of a
# gradient too, and giving can be a gather.


def _take(
  x: jax.Array, tap: jax.Array, *, stride: int, size: tuple[int, int]
) -> jax.Array:
  del size
  padded = pad(x, 1)
  y = jnp.zeros(tap.shape, x.dtype)
  for i, at in enumerate(_TAPS):
    pixel = window(padded, at[0], at[1], tap.shape[1], tap.shape[2], stride)
    y = jnp.where(tap == i, pixel, y)
  return y


def _give(
  g: jax.Array, tap: jax.Array, *, stride: int, size: tuple[int, int]
) -> jax.Array:
  # Each pixel asks the windows that may have taken it.
  spread = functools.partial(_spread, size=size, stride=stride)
  tap, spread_g = spread(tap, fill=-1), spread(g, fill=0)
  x = jnp.zeros((len(g), *size, g.shape[-1]), g.dtype)
  for i, (row, column) in enumerate(_TAPS):
    at = (2 - row, 2 - column, *size, 1)
    x += jnp.where(window(tap, *at) == i, window(spread_g, *at), 0)
  return x


def _spread(
  x: jax.Array, fill: int, size: tuple[int, int], stride: int
) -> jax.Array:
  """Undoes the stride with `fill` between, and one pixel of it around."""
  ends = [n - 1 - (m - 1) * stride for n, m in zip(size, x.shape[1:3])]
  inner = [(1, end + 1, stride - 1) for end in ends]
  return jax.lax.pad(
    x, jnp.asarray(fill, x.dtype), [(0, 0, 0), *inner, (0, 0, 0)]
  )


def _take_shape(x: Any, tap: Any, **params: Any) -> ShapedArray:
  del params
  return ShapedArray(tap.shape, x.dtype)


def _give_shape(g: Any, tap: Any, *, stride: int, size: Any) -> ShapedArray:
  del stride
  return ShapedArray((tap.shape[0], *size, tap.shape[-1]), g.dtype)


_take_p = define_channelwise('max_pool_take', _take_shape, lambda _: _take)
_give_p = define_channelwise('max_pool_give', _give_shape, lambda _: _give)
# Nothing is differentiated with respect to a tap, an integer.
ad.defbilinear(
  _take_p, lambda g, x, tap, **params: _give_p.bind(g, tap, **params), None
)
ad.defbilinear(
  _give_p, lambda x, g, tap, **params: _take_p.bind(x, tap, **params), None
)
