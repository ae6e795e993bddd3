"""ReLU, depthwise and 1x1 convolution, and the moments of what they give.

The unit that separable and dilated convolutions are made of. Most of its time
goes to reading and writing memory: on CPU a C++ kernel does all of it in one
pass over each image, and all of its gradients in another (native.py). Elsewhere
XLA gets its parts.

The kernels are primitives, differentiable as often as the parts are: the
unit's derivative is a linear primitive whose transpose is the gradient kernel,
and what lies beyond is taken from the parts.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.interpreters import ad

from opp_darts_jax.operations.cpu import native
from opp_darts_jax.operations.depthwise import depthwise_conv, out_size
from opp_darts_jax.operations.norm import Measured, Normalised, measure
from opp_darts_jax.operations.primitive import define_by_parts
from opp_darts_jax.operations.target import kernels_serve


def separable_unit(
  normalised: Normalised,
  depthwise: jax.Array,
  pointwise: jax.Array,
  stride: int = 1,
  dilation: int = 1,
) -> Measured:
  """The ReLU, convolved by `depthwise`, times `pointwise`.

  Args:
    normalised: (B, H, W, C).
    depthwise: (k, k, C), k odd.
    pointwise: (C, D).
    stride: of the depthwise convolution.
    dilation: of the depthwise convolution.

  Returns:
    The product (B, ceil(H / stride), ceil(W / stride), D) with its moments.
  """
  args = (*normalised, depthwise, pointwise)
  params = {'stride': stride, 'dilation': dilation}
  if kernels_serve(*args):
    return Measured(*_unit_p.bind(*args, **params))
  return _parts(*args, **params)


def pointwise_unit(x: jax.Array, pointwise: jax.Array) -> Measured:
  """The ReLU of x (B, H, W, C), times `pointwise` (C, D), and its moments."""
  if kernels_serve(x, pointwise):
    ones = jnp.ones((1, 1, x.shape[-1]), x.dtype)
    return separable_unit(Normalised.unchanged(x), ones, pointwise)
  return measure(_product(jax.nn.relu(x), pointwise))


def _product(x, matrix):
  # As matrices, or the matrix's gradient transposed all of x first.
  flat = x.reshape(-1, x.shape[-1]) @ matrix
  return flat.reshape(*x.shape[:-1], -1)


def _parts(x, shift, scale, depthwise, pointwise, *, stride, dilation):
  u = jax.nn.relu(Normalised(x, shift, scale).value)
  if depthwise.shape[:2] == (1, 1) and stride == 1:
    return measure(_product(u * depthwise[0, 0], pointwise))
  d = depthwise_conv(u, depthwise, stride, dilation)
  return measure(_product(d, pointwise))


def _parts_jvp(*args, **params):
  """(arguments, their tangents, mean) -> the results' tangents."""
  primals, tangents = args[:5], args[5:10]
  return jax.jvp(functools.partial(_parts, **params), primals, tangents)[1]


def _parts_vjp(*args, depthwise_too, **params):
  """(arguments, mean, the results' cotangents) -> the arguments'."""
  vjp = jax.vjp(functools.partial(_parts, **params), *args[:5])[1]
  return _asked_for(vjp(Measured(*args[6:])), depthwise_too)


def _asked_for(gradients: Sequence[Any], depthwise_too: bool) -> list[Any]:
  """Of those of all arguments, those but the depthwise kernel's or all."""
  return [g for i, g in enumerate(gradients) if depthwise_too or i != 3]


def _native(*args, **params):
  return native.call(
    'separable', _unit_shapes(*args, **params), *args, **params
  )


def _native_vjp(*args, depthwise_too, **params):
  shapes = [ShapedArray(a.shape, a.dtype) for a in args[:5]]
  if not depthwise_too:
    shapes[3] = ShapedArray((0,), shapes[3].dtype)
  results = native.call('separable_grad', shapes, *args, **params)
  return _asked_for(results, depthwise_too)


def _unit_shapes(x, shift, scale, depthwise, pointwise, *, stride, dilation):
  del shift, scale, depthwise, dilation
  batch, height, width, _ = x.shape
  size = pointwise.shape[-1:]
  shape = (batch, out_size(height, stride), out_size(width, stride), *size)
  return [ShapedArray(s, x.dtype) for s in (shape, size, size)]


def _jvp_shapes(*args, **params):
  return _unit_shapes(*args[:5], **params)


def _vjp_shapes(*args, depthwise_too, **params):
  del params
  shapes = [ShapedArray(a.shape, a.dtype) for a in args[:5]]
  return _asked_for(shapes, depthwise_too)


_unit_p = define_by_parts('separable_unit', _parts, _unit_shapes, _native)
_jvp_p = define_by_parts(
  'separable_unit_jvp', _parts_jvp, _jvp_shapes, _parts_jvp
)
_vjp_p = define_by_parts(
  'separable_unit_vjp', _parts_vjp, _vjp_shapes, _native_vjp
)


def _unit_jvp(primals, tangents, **params):
  results = _unit_p.bind(*primals, **params)
  tangents = map(ad.instantiate_zeros, tangents)
  return results, _jvp_p.bind(*primals, *tangents, results[1], **params)


def _transpose(cotangents, *args, **params):
  primals, mean = args[:5], args[10]
  cotangents = map(ad.instantiate_zeros, cotangents)
  linear = [ad.is_undefined_primal(a) for a in args[5:10]]
  grads = _vjp_p.bind(
    *primals, mean, *cotangents, depthwise_too=linear[3], **params
  )
  if not linear[3]:
    grads.insert(3, None)
  return [
    *[None] * 5,
    *[g if by else None for g, by in zip(grads, linear)],
    None,
  ]


ad.primitive_jvps[_unit_p] = _unit_jvp
ad.primitive_transposes[_jvp_p] = _transpose
