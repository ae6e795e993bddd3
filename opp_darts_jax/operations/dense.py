"""Dense convolutions, and what their weights and linear ones begin with."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from opp_darts_jax.operations.depthwise import pad
from opp_darts_jax.operations.target import current


def uniform(key: jax.Array, shape: Sequence[int], fan_in: int) -> jax.Array:
  """PyTorch's default for convolutions and linear layers."""
  bound = fan_in**-0.5
  return jax.random.uniform(key, tuple(shape), minval=-bound, maxval=bound)


def conv(
  x: jax.Array,
  kernel: jax.Array,
  stride: tuple[int, int] = (1, 1),
  padding: tuple[int, int] = (0, 0),
) -> jax.Array:
  """A dense convolution.

  On CPU it is a product of matrices: inside a compiled loop XLA's convolutions
  there take 10 to 20 times as long, most of all for the kernel's gradient.

  Args:
    x: (B, H, W, C).
    kernel: (h, w, C, D).
    stride: of rows and columns.
    padding: pixels of zeros above and below, and left and right.

  Returns:
    (B, H', W', D).
  """
  rows, columns = ((p, p) for p in padding)

  def library(x, kernel):
    return lax.conv_general_dilated(
      x,
      kernel,
      stride,
      (rows, columns),
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )

  def product(x, kernel):
    x = jnp.pad(x, ((0, 0), rows, columns, (0, 0)))
    height, width = (
      (n - k) // s + 1 for n, k, s in zip(x.shape[1:3], kernel.shape, stride)
    )
    patches = [
      x[
        :,
        row : row + (height - 1) * stride[0] + 1 : stride[0],
        column : column + (width - 1) * stride[1] + 1 : stride[1],
      ]
      for row in range(kernel.shape[0])
      for column in range(kernel.shape[1])
    ]
    # As matrices, or the kernel's gradient transposed all of x first.
    x = jnp.concatenate(patches, -1)
    flat = x.reshape(-1, x.shape[-1]) @ kernel.reshape(-1, kernel.shape[-1])
    return flat.reshape(*x.shape[:-1], -1)

  return (product if current().platform == 'cpu' else library)(x, kernel)


def factorized_reduce(x: jax.Array, kernels: jax.Array) -> jax.Array:
  """Halves the resolution: two 1x1 convolutions of stride 2, a pixel apart.

  Args:
    x: (B, H, W, C), rectified.
    kernels: (2, C, D / 2).

  Returns:
    (B, ceil(H / 2), ceil(W / 2), D).
  """
  if current().platform == 'gpu':
    # One kernel of the library, of which three quarters are 0: products of
    # every other pixel are copied first, and XLA's compiler fails on some.
    zeros = jnp.zeros_like(kernels[0])
    first = jnp.concatenate([kernels[0], zeros], -1)
    last = jnp.concatenate([zeros, kernels[1]], -1)
    none = jnp.zeros_like(first)
    kernel = jnp.stack([jnp.stack([first, none]), jnp.stack([none, last])])
    ends = [(0, size % 2) for size in x.shape[1:3]]
    return lax.conv_general_dilated(
      x, kernel, (2, 2), ends, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
  even = x[:, ::2, ::2]
  odd = pad(x, 1)[:, 2::2, 2::2]
  odd = odd[:, : even.shape[1], : even.shape[2]]
  return jnp.concatenate([even @ kernels[0], odd @ kernels[1]], -1)
