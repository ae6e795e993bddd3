"""The candidate operations, on one edge; supernet.py stacks edges, network.py
uses them as they are.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from opp_darts_jax.operations.depthwise import pad
from opp_darts_jax.operations.norm import Measured, Normalised, measure
from opp_darts_jax.operations.pooling import avg_pool, max_pool
from opp_darts_jax.operations.separable import separable_unit

Params = dict[str, jax.Array]
# (x, i) -> the i-th batch normalisation of the operation, applied to x.
Norm = Callable[[Measured, int], Normalised]


class Separable(NamedTuple):
  """How often the unit is repeated, and its kernel's size and dilation."""

  repeats: int
  size: int
  dilation: int


class Primitive(NamedTuple):
  """An operation as pure functions.

  Attributes:
    init: (key, copies, channels, stride) -> weights of that many copies,
      stacked on leading axes; those of its norms are not among them.
    apply: (weights, x (B, H, W, C), norm, stride, key) -> (B, H/s, W/s, C);
      only `noise` draws from the key.
    norms: stride -> how many batch normalisations it applies.
    shared: stride -> whether it has neither weights nor randomness, so that
      all edges that leave a node get the same from it.
    search_norm: whether a batch normalisation follows it in a supernet.
    separable: what it is if it is units of separable.py, else None.
  """

  init: Callable[[jax.Array, tuple[int, ...], int, int], Params]
  apply: Callable[[Params, jax.Array, Norm, int, jax.Array | None], jax.Array]
  norms: Callable[[int], int]
  shared: Callable[[int], bool]
  search_norm: bool = False
  separable: Separable | None = None


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

  return lax.platform_dependent(x, kernel, cpu=product, default=library)


def factorized_reduce(x: jax.Array, kernels: jax.Array) -> jax.Array:
  """Halves the resolution: two 1x1 convolutions of stride 2, a pixel apart.

  Args:
    x: (B, H, W, C), rectified.
    kernels: (2, C, D / 2).

  Returns:
    (B, ceil(H / 2), ceil(W / 2), D).
  """
  even = x[:, ::2, ::2]
  odd = pad(x, 1)[:, 2::2, 2::2]
  odd = odd[:, : even.shape[1], : even.shape[2]]
  return jnp.concatenate([even @ kernels[0], odd @ kernels[1]], -1)


def _depthwise_separable(size: int, dilation: int, repeats: int) -> Primitive:
  """ReLU, depthwise, 1x1, BN, `repeats` times; the first one has the stride."""

  def init(key, copies, channels, stride):
    del stride
    depthwise_key, pointwise_key = jax.random.split(key)
    kernel = (*copies, repeats, size, size, channels)
    dense = (*copies, repeats, channels, channels)
    return {
      'depthwise': uniform(depthwise_key, kernel, size * size),
      'pointwise': uniform(pointwise_key, dense, channels),
    }

  def apply(params, x, norm, stride, key):
    del key
    normalised = Normalised.unchanged(x)
    for i in range(repeats):
      depthwise, pointwise = params['depthwise'][i], params['pointwise'][i]
      measured = separable_unit(
        normalised, depthwise, pointwise, stride if i == 0 else 1, dilation
      )
      normalised = norm(measured, i)
    return normalised.value

  return Primitive(
    init,
    apply,
    norms=lambda stride: repeats,
    shared=lambda stride: False,
    separable=Separable(repeats, size, dilation),
  )


def _conv_7x1_1x7() -> Primitive:
  def init(key, copies, channels, stride):
    del stride
    kernel = (*copies, 7, channels, channels)
    row_key, column_key = jax.random.split(key)
    return {
      'row': uniform(row_key, kernel, 7 * channels),
      'column': uniform(column_key, kernel, 7 * channels),
    }

  def apply(params, x, norm, stride, key):
    del key
    x = jax.nn.relu(x)
    x = conv(x, params['row'][None], (1, stride), (0, 3))
    x = conv(x, params['column'][:, None], (stride, 1), (3, 0))
    return norm(measure(x), 0).value

  return Primitive(init, apply, lambda stride: 1, lambda stride: False)


def _skip_connect() -> Primitive:
  def init(key, copies, channels, stride):
    if stride == 1:
      return {}
    shape = (*copies, 2, channels, channels // 2)
    return {'pointwise': uniform(key, shape, channels)}

  def apply(params, x, norm, stride, key):
    del key
    if stride == 1:
      return x
    x = factorized_reduce(jax.nn.relu(x), params['pointwise'])
    return norm(measure(x), 0).value

  return Primitive(
    init, apply, lambda stride: stride - 1, lambda stride: stride == 1
  )


def _parameter_free(
  function: Callable[[jax.Array, int], jax.Array], search_norm: bool = False
) -> Primitive:
  return Primitive(
    init=lambda key, copies, channels, stride: {},
    apply=lambda params, x, norm, stride, key: function(x, stride),
    norms=lambda stride: 0,
    shared=lambda stride: True,
    search_norm=search_norm,
  )


def _noise() -> Primitive:
  def apply(params, x, norm, stride, key):
    del params, norm
    if key is None:
      raise ValueError('noise needs a random key.')
    return jax.random.normal(key, x[:, ::stride, ::stride].shape, x.dtype)

  return Primitive(
    init=lambda key, copies, channels, stride: {},
    apply=apply,
    norms=lambda stride: 0,
    shared=lambda stride: False,
  )


PRIMITIVES: dict[str, Primitive] = {
  'none': _parameter_free(lambda x, s: jnp.zeros_like(x[:, ::s, ::s])),
  'max_pool_3x3': _parameter_free(max_pool, search_norm=True),
  'avg_pool_3x3': _parameter_free(avg_pool, search_norm=True),
  'skip_connect': _skip_connect(),
  'sep_conv_3x3': _depthwise_separable(3, dilation=1, repeats=2),
  'sep_conv_5x5': _depthwise_separable(5, dilation=1, repeats=2),
  'sep_conv_7x7': _depthwise_separable(7, dilation=1, repeats=2),
  'dil_conv_3x3': _depthwise_separable(3, dilation=2, repeats=1),
  'dil_conv_5x5': _depthwise_separable(5, dilation=2, repeats=1),
  'conv_7x1_1x7': _conv_7x1_1x7(),
  'noise': _noise(),
}
