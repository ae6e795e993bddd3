"""3x3 pools with padding 1, as PyTorch's, forward and backward."""

import functools

import jax
import jax.numpy as jnp

from opp_darts_jax.depthwise import depthwise_conv, out_size, pad, window

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


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def max_pool(x: jax.Array, stride: int) -> jax.Array:
  """Largest of the 3x3 pixels around; the first takes ties and gradients.

  Args:
    x: (B, H, W, C).
    stride: of both axes.

  Returns:
    (B, ceil(H / stride), ceil(W / stride), C).
  """
  return _max_and_tap(x, stride)[0]


def _max_and_tap(x: jax.Array, stride: int) -> tuple[jax.Array, jax.Array]:
  height, width = (out_size(n, stride) for n in x.shape[1:3])
  padded = pad(x, 1, -jnp.inf)
  best = window(padded, 0, 0, height, width, stride)
  tap = jnp.zeros(best.shape, jnp.int8)
  for i, at in enumerate(_TAPS[1:], 1):
    pixel = window(padded, *at, height, width, stride)
    tap = jnp.where(pixel > best, jnp.int8(i), tap)
    best = jnp.maximum(pixel, best)
  return best, tap


def _max_pool_fwd(x, stride):
  y, tap = _max_and_tap(x, stride)
  return y, (tap, x.shape)


def _max_pool_bwd(stride, residuals, g):
  tap, shape = residuals
  height, width = shape[1:3]
  # Gradients as a gather: each pixel asks the windows that may have taken it.
  spread = functools.partial(_spread, height=height, width=width, stride=stride)
  tap, g = spread(tap, fill=-1), spread(g, fill=0)
  dx = jnp.zeros(shape, g.dtype)
  for i, (row, column) in enumerate(_TAPS):
    at = (2 - row, 2 - column, height, width, 1)
    dx += jnp.where(window(tap, *at) == i, window(g, *at), 0)
  return (dx,)


def _spread(
  x: jax.Array, fill: int, height: int, width: int, stride: int
) -> jax.Array:
  """Undoes the stride with `fill` between, and one pixel of it around."""
  ends = [
    n - 1 - (m - 1) * stride for n, m in zip((height, width), x.shape[1:3])
  ]
  inner = [(1, end + 1, stride - 1) for end in ends]
  return jax.lax.pad(
    x, jnp.asarray(fill, x.dtype), [(0, 0, 0), *inner, (0, 0, 0)]
  )


max_pool.defvjp(_max_pool_fwd, _max_pool_bwd)
