"""The primitives of a node's edges: their kernels and derivatives.

They are differentiable as often as one likes: their derivatives along a
direction are primitives too, which the same C++ kernels compute on dual numbers
(native.py), as second order takes them. Derivatives beyond are those of their
parts (mixture_parts.py).

Axes: as in mixture.py.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.interpreters import ad

from opp_darts_jax.operations.cpu import mixture_parts, native
from opp_darts_jax.operations.cpu.mixture_parts import fused_forms
from opp_darts_jax.operations.operation import Operation
from opp_darts_jax.operations.primitive import define_by_parts

# As kernels/mixture.h numbers them.
_KINDS = ('separable', 'max_pool', 'avg_pool', 'identity')
# Of derivatives, before what they are taken along: x, its number among the
# states, active_DK, weights_DK, params_DP, given_DM.
_ARGUMENTS = 6


def knows(operation: Operation, stride: int) -> bool:
  """Whether the kernels know an operation."""
  form = operation.fused(stride)
  return form is not None and form.kind in _KINDS


def _shapes(states, source, active_DK, weights_DK, params_DP, given, **params):
  del source, weights_DK, params_DP
  kinds = fused_forms(params['operations'], params['stride'])
  channels = states.shape[-1] // params['images']
  norms = 0 if given.size else sum(kind.norms for kind in kinds)
  shapes = (states.shape, (active_DK.shape[0], 2 * channels * norms))
  return [ShapedArray(shape, states.dtype) for shape in shapes]


def _jvp_shapes(*args, **_):
  states_dot = args[_ARGUMENTS]
  return [ShapedArray(states_dot.shape, states_dot.dtype)]


def _vjp_shapes(*args, inside, all_weights, **_):
  x, _, _, weights_DK, params_DP, _, g = args[: _ARGUMENTS + 1]
  arrays = [g, *([] if inside else [x]), weights_DK]
  arrays += [params_DP] if all_weights else []
  return [ShapedArray(a.shape, a.dtype) for a in arrays]


def _attributes(
  operations: Sequence[Operation], stride: int, images: int
) -> dict[str, Any]:
  kinds = fused_forms(operations, stride)
  repeats, sizes, dilations = zip(*(kind.unit for kind in kinds))
  return {
    'stride': stride,
    'images': images,
    'kinds': [_KINDS.index(kind.kind) for kind in kinds],
    'repeats': repeats,
    'sizes': sizes,
    'dilations': dilations,
  }


def _native(states, *args, inside, **params):
  del inside
  kinds = fused_forms(params['operations'], params['stride'])
  shapes = _shapes(states, *args, **params)
  slots = 1 + sum(kind.shared for kind in kinds)
  scratch = ShapedArray((slots, *states.shape[1:]), states.dtype)
  return native.call(
    'mixture',
    [*shapes, scratch],
    states,
    *args,
    aliases={0: 0},
    **_attributes(**params),
  )[:2]


def _native_jvp(*args, inside, **params):
  own, (states_dot, *dots) = args[:_ARGUMENTS], args[_ARGUMENTS:]
  kinds = fused_forms(params['operations'], params['stride'])
  if inside:
    dots = [jnp.zeros(0, states_dot.dtype), *dots]
  slots = 1 + sum(kind.shared for kind in kinds)
  scratch = ShapedArray((2, slots, *states_dot.shape[1:]), states_dot.dtype)
  return native.call(
    'mixture_jvp',
    [ShapedArray(states_dot.shape, states_dot.dtype), scratch],
    *(*own, states_dot, *dots),
    aliases={_ARGUMENTS: 0},
    **_attributes(**params),
  )[:1]


def _native_vjp(*args, inside, all_weights, **params):
  """The cotangents, or with tangents after the arguments, theirs."""
  x, _, _, weights_DK, params_DP, _, g, *dots = args
  kinds = fused_forms(params['operations'], params['stride'])
  norms = max(kind.norms for kind in kinds)
  shapes = (
    g.shape,
    weights_DK.shape,
    params_DP.shape if all_weights else (0,),
    (0,) if inside else x.shape,
    (2 if dots else 1, norms, *g.shape[1:]),
  )
  dstates, dweights, dparams, dx, _ = native.call(
    'mixture_grad_jvp' if dots else 'mixture_grad',
    [ShapedArray(shape, g.dtype) for shape in shapes],
    *args,
    # The states' cotangent, or its tangent.
    aliases={len(args) - 1: 0},
    **_attributes(**params),
  )
  own = [dstates] if inside else [dstates, dx]
  return [*own, dweights, *([dparams] if all_weights else [])]


def _second_order(kernels, parts):
  """Lowers to the kernels of second order, or where there are none to parts."""

  def lowered(x, *args, **params):
    built = native.supports(x, library='second_order')
    return (kernels if built else parts)(x, *args, **params)

  return lowered


edges_p = define_by_parts('edge_mixture', None, _shapes, _native)
jvp_p = define_by_parts(
  'edge_mixture_jvp',
  mixture_parts.jvp,
  _jvp_shapes,
  _second_order(_native_jvp, mixture_parts.jvp),
)
vjp_p = define_by_parts(
  'edge_mixture_vjp', mixture_parts.vjp, _vjp_shapes, _native_vjp
)
_vjp_jvp_p = define_by_parts(
  'edge_mixture_vjp_jvp',
  mixture_parts.vjp_jvp,
  _vjp_shapes,
  _second_order(_native_vjp, mixture_parts.vjp_jvp),
)


def _edges_jvp(primals, tangents, **params):
  states, source, *others = primals
  states_out, moments = edges_p.bind(*primals, **params)
  x, at = source, jnp.int32(0)
  if params['inside']:
    x, at = lax.dynamic_index_in_dim(states, source, 0, False), source
  states_dot, x_dot, _, *dots, _ = tangents
  dots = [states_dot, *([] if params['inside'] else [x_dot]), *dots]
  dots = map(ad.instantiate_zeros, dots)
  (tangent,) = jvp_p.bind(x, at, *others, *dots, **params)
  # Moments, found or given, pass no gradient on.
  return [states_out, moments], [tangent, jnp.zeros_like(moments)]


def _transpose(cotangents, *args, **params):
  g = ad.instantiate_zeros(cotangents[0])
  own = args[:_ARGUMENTS]
  linear = list(map(ad.is_undefined_primal, args[len(own) :]))
  grads = vjp_p.bind(*own, g, all_weights=linear[-1], **params)
  grads += [None] * (len(linear) - len(grads))
  return [None] * len(own) + [g if by else None for g, by in zip(grads, linear)]


def _vjp_jvp(primals, tangents, **params):
  x_dot, _, _, *weights_dots, _, g_dot = tangents
  dots = map(ad.instantiate_zeros, [x_dot, *weights_dots, g_dot])
  results = vjp_p.bind(*primals, **params)
  return results, _vjp_jvp_p.bind(*primals, *dots, **params)


def _vjp_jvp_transpose(cotangents, *args, **params):
  """By the parts: a second backward pass, which no search takes."""
  own = args[: _ARGUMENTS + 1]
  linear = list(map(ad.is_undefined_primal, args[len(own) :]))
  x, _, _, weights_DK, params_DP, _, g = own
  dots = map(jnp.zeros_like, [x, weights_DK, params_DP, g])
  function = functools.partial(mixture_parts.vjp_jvp, *own, **params)
  grads = jax.vjp(function, *dots)[1](
    list(map(ad.instantiate_zeros, cotangents))
  )
  return [None] * len(own) + [g if by else None for g, by in zip(grads, linear)]


ad.primitive_jvps[edges_p] = _edges_jvp
ad.primitive_transposes[jvp_p] = _transpose
ad.primitive_jvps[vjp_p] = _vjp_jvp
ad.primitive_transposes[_vjp_jvp_p] = _vjp_jvp_transpose
