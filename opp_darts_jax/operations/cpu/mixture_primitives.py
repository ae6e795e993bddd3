"""The primitives of a node's edges: their kernels, derivatives and parts.

They are differentiable as often as one likes: their derivatives along a
direction are primitives too, which the same C++ kernels compute on dual numbers
(native.py), as second order takes them. Derivatives beyond are those of their
parts: operations behind conditions.

Axes: as in mixture.py.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import ShapedArray
from jax.interpreters import ad

from opp_darts_jax.operations.cpu import native, side_by_side
from opp_darts_jax.operations.depthwise import out_size
from opp_darts_jax.operations.gate import gated_operation
from opp_darts_jax.operations.operation import Fused, Operation, Params
from opp_darts_jax.operations.primitive import define_by_parts

# As kernels/mixture.h numbers them.
_KINDS = ('separable', 'max_pool', 'avg_pool', 'identity')


def knows(operation: Operation, stride: int) -> bool:
  """Whether the kernels know an operation."""
  form = operation.fused(stride)
  return form is not None and form.kind in _KINDS


def fused_forms(operations: Sequence[Operation], stride: int) -> list[Fused]:
  """What the kernels know of operations; of those that they know."""
  forms = [operation.fused(stride) for operation in operations]
  return [form for form in forms if form is not None]


def add_to_last(states: jax.Array, sums: jax.Array) -> jax.Array:
  """Adds (D, ...) to the last D of (N, ...)."""
  first = len(states) - len(sums)
  fed = (states[first:] + sums).astype(states.dtype)
  return lax.dynamic_update_slice_in_dim(states, fed, first, 0)


def _unpack(params_P: jax.Array, kinds: Any, channels: int) -> list[Params]:
  result: list[Params] = []
  at = 0
  for kind in kinds:
    repeats, size, _ = kind.unit
    shapes = {
      'depthwise': (repeats, size, size, channels),
      'pointwise': (repeats, channels, channels),
    }
    params = {}
    for name, shape in shapes.items():
      end = at + int(np.prod(shape))
      params[name] = params_P[at:end].reshape(shape)
      at = end
    result.append({} if kind.shared else params)
  return result


def _sums(
  active_DK, x, weights_DK, params_DP, *, operations, stride, images, keep=False
):
  """The sums alone, by conditions; `keep` keeps what a gradient needs."""
  x = side_by_side.take(x, images)
  kinds = fused_forms(operations, stride)
  gated = [
    gated_operation(operation, stride, train=True, recompute=not keep)
    for operation in operations
  ]
  one = jnp.ones((), x.dtype)
  shared: Any = 0.0
  for k, (kind, apply) in enumerate(zip(kinds, gated)):
    if kind.shared:
      y, _ = apply(active_DK[:, k].any(), one, {}, {}, x, None)
      used = jnp.where(active_DK[:, k], weights_DK[:, k], 0)
      shared += jnp.tensordot(used, y, 0)

  def edge(_, xs):
    active_K, weights_K, params_P = xs
    params = _unpack(params_P, kinds, x.shape[-1])
    y = jnp.zeros(_size(x, stride), x.dtype)
    for k, apply in enumerate(gated):
      if not kinds[k].shared:
        y += apply(active_K[k], weights_K[k], params[k], {}, x, None)[0]
    return None, y

  xs = (active_DK, weights_DK, params_DP)
  return side_by_side.put(shared + lax.scan(edge, None, xs)[1], images)


def _size(x: jax.Array, stride: int) -> tuple[int, ...]:
  batch, height, width, channels = x.shape
  return batch, out_size(height, stride), out_size(width, stride), channels


def _parts_jvp(
  x, at, active_DK, weights_DK, params_DP, states_dot, *dots, inside, **params
):
  """(arguments, the differentiable ones' tangents) -> the states' tangents."""
  if inside:
    dots = (states_dot[at], *dots)
  function = functools.partial(_sums, active_DK, keep=True, **params)
  sums_dot = jax.jvp(function, (x, weights_DK, params_DP), dots)[1]
  return [add_to_last(states_dot, sums_dot)]


def _parts_vjp(
  x, at, active_DK, weights_DK, params_DP, g, *, inside, all_weights, **params
):
  """(arguments, the states' cotangents) -> the differentiable ones'."""
  function = functools.partial(_sums, active_DK, **params)
  vjp = jax.vjp(function, x, weights_DK, params_DP)[1]
  dx, dweights, dparams = vjp(g[-len(active_DK) :])
  own = [g.at[at].add(dx)] if inside else [g, dx]
  return [*own, dweights, *([dparams] if all_weights else [])]


def _parts_vjp_jvp(x, at, active_DK, weights_DK, params_DP, g, *dots, **params):
  """(arguments of `_parts_vjp`, their tangents) -> its results' tangents."""

  def function(x, weights_DK, params_DP, g):
    return _parts_vjp(x, at, active_DK, weights_DK, params_DP, g, **params)

  return jax.jvp(function, (x, weights_DK, params_DP, g), dots)[1]


def _shapes(states, source, active_DK, weights_DK, params_DP, **params):
  del source, weights_DK, params_DP
  kinds = fused_forms(params['operations'], params['stride'])
  channels = states.shape[-1] // params['images']
  moments = 2 * channels * sum(kind.norms for kind in kinds)
  shapes = (states.shape, (active_DK.shape[0], moments))
  return [ShapedArray(shape, states.dtype) for shape in shapes]


def _jvp_shapes(x, at, active_DK, weights_DK, params_DP, states_dot, *_, **__):
  del x, at, active_DK, weights_DK, params_DP
  return [ShapedArray(states_dot.shape, states_dot.dtype)]


def _vjp_shapes(
  x, at, active_DK, weights_DK, params_DP, g, *_, inside, all_weights, **__
):
  del at, active_DK
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


def _native_jvp(
  x, at, active_DK, weights_DK, params_DP, states_dot, *dots, inside, **params
):
  kinds = fused_forms(params['operations'], params['stride'])
  if inside:
    dots = (jnp.zeros(0, x.dtype), *dots)
  slots = 1 + sum(kind.shared for kind in kinds)
  scratch = ShapedArray((2, slots, *states_dot.shape[1:]), x.dtype)
  return native.call(
    'mixture_jvp',
    [ShapedArray(states_dot.shape, x.dtype), scratch],
    *(x, at, active_DK, weights_DK, params_DP, states_dot, *dots),
    aliases={5: 0},
    **_attributes(**params),
  )[:1]


def _native_vjp(*args, inside, all_weights, **params):
  """Of `_parts_vjp`, or with tangents after the arguments, of its tangents."""
  x, _, _, weights_DK, params_DP, g, *dots = args
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
  _parts_jvp,
  _jvp_shapes,
  _second_order(_native_jvp, _parts_jvp),
)
vjp_p = define_by_parts(
  'edge_mixture_vjp', _parts_vjp, _vjp_shapes, _native_vjp
)
_vjp_jvp_p = define_by_parts(
  'edge_mixture_vjp_jvp',
  _parts_vjp_jvp,
  _vjp_shapes,
  _second_order(_native_vjp, _parts_vjp_jvp),
)


def _edges_jvp(primals, tangents, **params):
  states, source, *others = primals
  states_out, moments = edges_p.bind(*primals, **params)
  x, at = source, jnp.int32(0)
  if params['inside']:
    x, at = lax.dynamic_index_in_dim(states, source, 0, False), source
  states_dot, x_dot, _, *dots = tangents
  dots = [states_dot, *([] if params['inside'] else [x_dot]), *dots]
  dots = map(ad.instantiate_zeros, dots)
  (tangent,) = jvp_p.bind(x, at, *others, *dots, **params)
  # Moments pass no gradient on.
  return [states_out, moments], [tangent, jnp.zeros_like(moments)]


def _transpose(cotangents, *args, **params):
  g = ad.instantiate_zeros(cotangents[0])
  linear = list(map(ad.is_undefined_primal, args[5:]))
  grads = vjp_p.bind(*args[:5], g, all_weights=linear[-1], **params)
  grads += [None] * (len(linear) - len(grads))
  return [*[None] * 5, *[g if by else None for g, by in zip(grads, linear)]]


def _vjp_jvp(primals, tangents, **params):
  x_dot, _, _, *others = tangents
  dots = map(ad.instantiate_zeros, [x_dot, *others])
  results = vjp_p.bind(*primals, **params)
  return results, _vjp_jvp_p.bind(*primals, *dots, **params)


def _vjp_jvp_transpose(cotangents, *args, **params):
  """By the parts: a second backward pass, which no search takes."""
  linear = list(map(ad.is_undefined_primal, args[6:]))
  x, _, _, *others = args[:6]
  dots = map(jnp.zeros_like, [x, *others])
  function = functools.partial(_parts_vjp_jvp, *args[:6], **params)
  grads = jax.vjp(function, *dots)[1](
    list(map(ad.instantiate_zeros, cotangents))
  )
  return [*[None] * 6, *[g if by else None for g, by in zip(grads, linear)]]


ad.primitive_jvps[edges_p] = _edges_jvp
ad.primitive_transposes[jvp_p] = _transpose
ad.primitive_jvps[vjp_p] = _vjp_jvp
ad.primitive_transposes[_vjp_jvp_p] = _vjp_jvp_transpose
