"""The separable operations of the edges that leave a node, as one kernel.

On CPU the compiler's time goes by the number of operations in a program, and
the step's by how often memory is read and written. One C++ kernel computes all
active separable and dilated convolutions of a node's edges, normalised and
weighted, and another all their gradients (native.py); what is not active costs
nothing.

Like separable.py's, the kernels are primitives whose further derivatives are
those of their parts: operations behind conditions.

Axes: D edges, K operations, P weights of them all, M moments of all their
norms; B batch, H W C.
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

from opp_darts_jax import native
from opp_darts_jax.depthwise import out_size
from opp_darts_jax.gate import gated_operation
from opp_darts_jax.norm import Statistics, unbiased
from opp_darts_jax.primitives import PRIMITIVES, Params, Separable
from opp_darts_jax.separable import define_primitive


def available(*arrays: jax.Array) -> bool:
  """Whether the kernels can be called on arrays like these, here."""
  return jax.default_backend() == 'cpu' and native.supports(*arrays)


def pack(params: Sequence[Params]) -> jax.Array:
  """Weights (..., of each operation) -> (..., P)."""
  leaves = [p[kind] for p in params for kind in ('depthwise', 'pointwise')]
  copies = params[0]['depthwise'].shape[:-4]
  return jnp.concatenate([leaf.reshape(*copies, -1) for leaf in leaves], -1)


def separable_mixture(
  names: Sequence[str],
  active_DK: jax.Array,
  x: jax.Array,
  weights_DK: jax.Array,
  params_DP: jax.Array,
  stride: int,
) -> tuple[jax.Array, jax.Array]:
  """The weighted sums of active separable operations, in training mode.

  Args:
    names: of the K operations, separable primitives.
    active_DK: which are active.
    x: (B, H, W, C), what all the edges start from.
    weights_DK: of each operation.
    params_DP: `pack`ed.
    stride: of the edges.

  Returns:
    The sums (D, B, ceil(H / stride), ceil(W / stride), C), and the moments of
    the operations' norms (D, M), 0 where not active; no gradient goes through
    these.
  """
  return tuple(
    _mixture_p.bind(
      active_DK, x, weights_DK, params_DP, names=tuple(names), stride=stride
    )
  )


def statistics(
  names: Sequence[str], moments: jax.Array, channels: int, count: int
) -> list[Statistics]:
  """Moments as statistics {'mean', 'var'} (..., N, C) of each operation.

  Args:
    names: of the operations.
    moments: of `separable_mixture`, (..., M).
    channels: C.
    count: of the values that each moment is of.
  """
  result, at = [], 0
  for kind in _kinds(names):
    size = kind.repeats * channels
    mean, var = (
      moments[..., first : first + size].reshape(
        *moments.shape[:-1], kind.repeats, channels
      )
      for first in (at, at + size)
    )
    result.append({'mean': mean, 'var': unbiased(var, count)})
    at += 2 * size
  return result


def _kinds(names: Sequence[str]) -> list[Separable]:
  kinds = [PRIMITIVES[name].separable for name in names]
  return [kind for kind in kinds if kind is not None]


def _unpack(params_P: jax.Array, names: Any, channels: int) -> list[Params]:
  result, at = [], 0
  for repeats, size, _ in _kinds(names):
    shapes = {
      'depthwise': (repeats, size, size, channels),
      'pointwise': (repeats, channels, channels),
    }
    params = {}
    for kind, shape in shapes.items():
      end = at + int(np.prod(shape))
      params[kind] = params_P[at:end].reshape(shape)
      at = end
    result.append(params)
  return result


def _sums(active_DK, x, weights_DK, params_DP, *, names, stride, keep=False):
  """The sums alone, by conditions; `keep` keeps what a gradient needs."""
  operations = [
    gated_operation(PRIMITIVES[name], stride, train=True, recompute=not keep)
    for name in names
  ]

  def edge(_, xs):
    active_K, weights_K, params_P = xs
    params = _unpack(params_P, names, x.shape[-1])
    return None, sum(
      operation(active_K[k], weights_K[k], params[k], {}, x, None)[0]
      for k, operation in enumerate(operations)
    )

  return lax.scan(edge, None, (active_DK, weights_DK, params_DP))[1]


def _sums_jvp(active_DK, *args, **params):
  """(active, the other arguments, their tangents) -> the sums' tangents."""
  function = functools.partial(_sums, active_DK, keep=True, **params)
  return [jax.jvp(function, args[:3], args[3:])[1]]


def _sums_vjp(active_DK, x, weights_DK, params_DP, g, **params):
  """(arguments, the sums' cotangents) -> those of the differentiable ones."""
  function = functools.partial(_sums, active_DK, **params)
  return list(jax.vjp(function, x, weights_DK, params_DP)[1](g))


def _shapes(active_DK, x, weights_DK, params_DP, *, names, stride):
  del weights_DK, params_DP
  batch, height, width, channels = x.shape
  size = (batch, out_size(height, stride), out_size(width, stride), channels)
  moments = 2 * channels * sum(kind.repeats for kind in _kinds(names))
  shapes = (size, (moments,))
  return [ShapedArray((active_DK.shape[0], *s), x.dtype) for s in shapes]


def _jvp_shapes(*args, **params):
  return _shapes(*args[:4], **params)[:1]


def _vjp_shapes(active_DK, *args, **params):
  del active_DK, params
  return [ShapedArray(a.shape, a.dtype) for a in args[:3]]


def _native(name: str, shapes: Any, slots: Any) -> Any:
  """The kernel's call; `slots` says how many outputs its scratch holds."""

  def call(*args, names, stride):
    repeats, sizes, dilations = zip(*_kinds(names))
    sums, _ = _shapes(*args[:4], names=names, stride=stride)
    scratch = ShapedArray((slots(repeats), *sums.shape[1:]), sums.dtype)
    *results, _ = native.call(
      name,
      [*shapes(*args, names=names, stride=stride), scratch],
      *args,
      stride=stride,
      repeats=repeats,
      sizes=sizes,
      dilations=dilations,
    )
    return results

  return call


_mixture_p = define_primitive(
  'separable_mixture',
  None,
  _shapes,
  _native('mixture', _shapes, lambda repeats: len(repeats) + 2),
)
_jvp_p = define_primitive(
  'separable_mixture_jvp', _sums_jvp, _jvp_shapes, _sums_jvp
)
_vjp_p = define_primitive(
  'separable_mixture_vjp',
  _sums_vjp,
  _vjp_shapes,
  _native('mixture_grad', _vjp_shapes, lambda repeats: max(repeats) + 2),
)


def _mixture_jvp(primals, tangents, **params):
  sums, moments = _mixture_p.bind(*primals, **params)
  tangents = map(ad.instantiate_zeros, tangents[1:])
  (tangent,) = _jvp_p.bind(*primals, *tangents, **params)
  # Moments pass no gradient on.
  return [sums, moments], [tangent, jnp.zeros_like(moments)]


def _transpose(cotangents, *args, **params):
  g = ad.instantiate_zeros(cotangents[0])
  grads = _vjp_p.bind(*args[:4], g, **params)
  linear = map(ad.is_undefined_primal, args[4:])
  return [*[None] * 4, *[g if by else None for g, by in zip(grads, linear)]]


ad.primitive_jvps[_mixture_p] = _mixture_jvp
ad.primitive_transposes[_jvp_p] = _transpose
