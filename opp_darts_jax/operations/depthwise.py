"""The depthwise convolution: forward and both gradients, per platform.

The forward pass and the kernel's gradient are bilinear, and each is the
other's transpose: as JAX primitives with bilinear rules they serve jvp, vjp
and jvp of a gradient alike, which a custom_vjp would not.

XLA's grouped convolution is tens of times slower than it need be on CPU, so
there both are C++ kernels (native.py) or, where no compiler is, a sum of
shifted products and a loop over the batch, which take 1.5 to 2 and 5 to 12
times as long. On GPU the sum is one kernel and wins over the library (a weight
step at full size takes 184 ms instead of 272 on an H100), but the library has
the kernel's gradient. `IMPLEMENTATIONS` says which is used where.
"""

import functools
import types
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.interpreters import ad

from opp_darts_jax.operations.cpu import native
from opp_darts_jax.operations.primitive import define_channelwise
from opp_darts_jax.operations.target import (
  current,
  kernels_serve,
  matmul_precision,
)


class Implementation(NamedTuple):
  """How it is computed.

  Attributes:
    conv: the forward pass, and the input's gradient; of `CONVS`.
    kernel_grad: the kernel's gradient; of `KERNEL_GRADS`.
  """

  conv: str
  kernel_grad: str


WITHOUT_KERNELS = Implementation('shifted', 'scanned')
# By `Target.platform`.
IMPLEMENTATIONS: Mapping[str, Implementation] = types.MappingProxyType(
  {
    'cpu': Implementation('native', 'native'),
    'gpu': Implementation('shifted', 'library'),
    'tpu': Implementation('library', 'library'),
  }
)


def depthwise_conv(
  x: jax.Array,
  kernel: jax.Array,
  stride: int = 1,
  dilation: int = 1,
  implementation: Implementation | None = None,
) -> jax.Array:
  """Convolves every channel with its own kernel.

  Zeros are padded symmetrically, dilation * (k - 1) / 2 on each side, as in
  PyTorch; XLA's 'SAME' differs at stride 2.

  Args:
    x: (B, H, W, C).
    kernel: (k, k, C), k odd.
    stride: of both axes.
    dilation: distance of neighbouring taps, in pixels.
    implementation: None takes that of the platform that is traced for.

  Returns:
    (B, ceil(H / stride), ceil(W / stride), C).
  """
  if implementation is None:
    implementation = IMPLEMENTATIONS[current().platform]
    if implementation.conv == 'native' and not kernels_serve(x, kernel):
      implementation = WITHOUT_KERNELS
  return _conv_p.bind(
    x,
    kernel,
    stride=stride,
    dilation=dilation,
    implementation=implementation,
    # It is traced later than all around it.
    precision=matmul_precision(),
  )


def out_size(size: int, stride: int) -> int:
  """Pixels that a symmetrically padded convolution leaves of `size`."""
  return -(-size // stride)


def window(
  x: jax.Array, row: int, column: int, height: int, width: int, stride: int
) -> jax.Array:
  """Every stride-th pixel of (..., H, W, C) from (row, column) on."""
  *batch, _, _, channels = x.shape
  return lax.slice(
    x,
    [0] * len(batch) + [row, column, 0],
    [
      *batch,
      row + (height - 1) * stride + 1,
      column + (width - 1) * stride + 1,
      channels,
    ],
    [1] * len(batch) + [stride, stride, 1],
  )


def pad(x: jax.Array, size: int, value: float = 0.0) -> jax.Array:
  """Puts `size` pixels of `value` around (B, H, W, C)."""
  edge = ((0, 0), (size, size), (size, size), (0, 0))
  return jnp.pad(x, edge, constant_values=value)


def _taps(kernel_size: int, dilation: int) -> list[tuple[int, int]]:
  offsets = range(0, kernel_size * dilation, dilation)
  return [(row, column) for row in offsets for column in offsets]


def _shifted_conv(
  x: jax.Array, kernel: jax.Array, *, stride: int, dilation: int
) -> jax.Array:
  size = kernel.shape[0]
  height, width = (out_size(n, stride) for n in x.shape[1:3])
  padded = pad(x, dilation * (size - 1) // 2)
  taps = kernel.reshape(size * size, -1)
  products = [
    window(padded, *at, height, width, stride) * taps[i]
    for i, at in enumerate(_taps(size, dilation))
  ]
  return functools.reduce(jnp.add, products)


def _scanned_kernel_grad(
  x: jax.Array, g: jax.Array, *, size: int, stride: int, dilation: int
) -> jax.Array:
  # An accumulator of an image's shape for each tap: XLA's reductions to a few
  # channels are scalar code, while these sums use vectors and all cores.
  def add_image(sums, image_and_g):
    image, g = image_and_g
    products = [
      window(image, at[0], at[1], g.shape[0], g.shape[1], stride) * g
      for at in _taps(size, dilation)
    ]
    return [a + b for a, b in zip(sums, products)], None

  zeros = [jnp.zeros(g.shape[1:], g.dtype)] * size**2
  padded = pad(x, dilation * (size - 1) // 2)
  sums, _ = lax.scan(add_image, zeros, (padded, g))
  return jnp.stack(sums).sum((1, 2)).reshape(size, size, -1)


def _native_conv(x: jax.Array, kernel: jax.Array, **params: int) -> jax.Array:
  result = _conv_shape(x, kernel, **params)
  return native.call('depthwise_conv', result, x, kernel, **params)


def _native_kernel_grad(
  x: jax.Array, g: jax.Array, *, size: int, **params: int
) -> jax.Array:
  result = _kernel_grad_shape(x, g, size=size, **params)
  return native.call('depthwise_kernel_grad', result, x, g, **params)


def _library_conv(
  x: jax.Array, kernel: jax.Array, *, stride: int, dilation: int
) -> jax.Array:
  height, width = (out_size(n, stride) for n in x.shape[1:3])
  step = stride // dilation if stride % dilation == 0 else 1
  border = (kernel.shape[0] - 1) // 2
  y = lax.conv_general_dilated(
    _undilate(x, stride, dilation),
    kernel[:, :, None],
    window_strides=(step, step),
    padding=[(border, border)] * 2,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=x.shape[-1],
  )
  if step * dilation == stride:
    return y
  grids = y.reshape(dilation, dilation, -1, *y.shape[1:])
  y = grids.transpose(2, 3, 0, 4, 1, 5)
  y = y.reshape(len(x), y.shape[1] * dilation, -1, x.shape[-1])
  return y[:, ::stride, ::stride][:, :height, :width]


def _undilate(x: jax.Array, stride: int, dilation: int) -> jax.Array:
  """The grids of pixels that a dilated kernel sees together, as batches.

  Libraries can be several times slower with dilation, and tens of times for
  the kernel's gradient (cuDNN). A stride that the dilation divides leaves one
  grid.

  Returns:
    (grids * B, ceil(H / dilation), ceil(W / dilation), C).
  """
  if stride % dilation == 0:
    return x[:, ::dilation, ::dilation]
  batch, height, width, channels = x.shape
  rows, columns = (out_size(n, dilation) for n in (height, width))
  ends = [(0, n * dilation - m) for n, m in ((rows, height), (columns, width))]
  x = jnp.pad(x, ((0, 0), *ends, (0, 0)))
  x = x.reshape(batch, rows, dilation, columns, dilation, channels)
  return x.transpose(2, 4, 0, 1, 3, 5).reshape(-1, rows, columns, channels)


def _library_kernel_grad(
  x: jax.Array, g: jax.Array, *, size: int, stride: int, dilation: int
) -> jax.Array:
  conv = functools.partial(_library_conv, stride=stride, dilation=dilation)
  kernel = jax.ShapeDtypeStruct((size, size, x.shape[-1]), x.dtype)
  (grad,) = jax.linear_transpose(lambda k: conv(x, k), kernel)(g)
  return grad


def _conv_shape(x: Any, kernel: Any, *, stride: int, **_: Any) -> Any:
  del kernel
  batch, height, width, channels = x.shape
  shape = (batch, out_size(height, stride), out_size(width, stride), channels)
  return ShapedArray(shape, x.dtype)


def _kernel_grad_shape(x: Any, g: Any, *, size: int, **_: Any) -> Any:
  del g
  return ShapedArray((size, size, x.shape[-1]), x.dtype)


def _input_grad(
  g: jax.Array, x: Any, kernel: jax.Array, *, stride: int, **params: Any
) -> jax.Array:
  """The input's gradient: the convolution of g with the flipped kernel."""
  if stride > 1:
    sizes = zip(x.aval.shape[1:3], g.shape[1:3])
    ends = [n - 1 - (m - 1) * stride for n, m in sizes]
    inner = [(0, end, stride - 1) for end in ends]
    g = lax.pad(g, jnp.zeros((), g.dtype), [(0, 0, 0), *inner, (0, 0, 0)])
  return _conv_p.bind(g, kernel[::-1, ::-1], stride=1, **params)


CONVS = types.MappingProxyType(
  {
    'native': _native_conv,
    'shifted': _shifted_conv,
    'library': _library_conv,
  }
)
KERNEL_GRADS = types.MappingProxyType(
  {
    'native': _native_kernel_grad,
    'scanned': _scanned_kernel_grad,
    'library': _library_kernel_grad,
  }
)


def _lowered(field: str, functions: Mapping[str, Any], platform: str) -> Any:
  """What a primitive is on a platform."""

  def call(*args, implementation, precision, **params):
    if implementation.conv == 'native' and platform != 'cpu':
      implementation = IMPLEMENTATIONS[platform]  # No kernels are there.
    with jax.default_matmul_precision(precision):
      return functions[getattr(implementation, field)](*args, **params)

  return call


_conv_p = define_channelwise(
  'depthwise_conv', _conv_shape, functools.partial(_lowered, 'conv', CONVS)
)
_kernel_grad_p = define_channelwise(
  'depthwise_kernel_grad',
  _kernel_grad_shape,
  functools.partial(_lowered, 'kernel_grad', KERNEL_GRADS),
)


def _conv_to_kernel(g, x, kernel, **params):
  return _kernel_grad_p.bind(x, g, size=kernel.aval.shape[0], **params)


def _kernel_grad_to_input(kernel, x, g, *, size, **params):
  del size
  return _input_grad(g, x, kernel, **params)


def _kernel_grad_to_g(kernel, x, g, *, size, **params):
  del g, size
  return _conv_p.bind(x, kernel, **params)


ad.defbilinear(_conv_p, _input_grad, _conv_to_kernel)
ad.defbilinear(_kernel_grad_p, _kernel_grad_to_input, _kernel_grad_to_g)
