"""A node's edges operation by operation, behind conditions.

What the kernels of mixture_primitives.py compute, for JAX to derive, and for
what they cannot be built for.

Axes: as in mixture.py.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from opp_darts_jax.operations.cpu import side_by_side
from opp_darts_jax.operations.depthwise import out_size
from opp_darts_jax.operations.gate import gated_operation
from opp_darts_jax.operations.operation import Fused, Operation, Params


def fused_forms(operations: Sequence[Operation], stride: int) -> list[Fused]:
  """What the kernels know of operations; of those that they know."""
  forms = [operation.fused(stride) for operation in operations]
  return [form for form in forms if form is not None]


def add_to_last(states: jax.Array, sums: jax.Array) -> jax.Array:
  """Adds (D, ...) to the last D of (N, ...)."""
  first = len(states) - len(sums)
  fed = (states[first:] + sums).astype(states.dtype)
  return lax.dynamic_update_slice_in_dim(states, fed, first, 0)


def moments_of(
  moments: jax.Array, kinds: Sequence[Fused], channels: int
) -> list[dict[str, jax.Array]]:
  """Moments (..., M) -> {'mean', 'var'} (..., norms, C); {} without norms."""
  result: list[dict[str, jax.Array]] = []
  at = 0
  for kind in kinds:
    end = at + 2 * kind.norms * channels
    own = moments[..., at:end]
    own = own.reshape(*own.shape[:-1], 2, kind.norms, channels)
    named = {'mean': own[..., 0, :, :], 'var': own[..., 1, :, :]}
    result.append(named if kind.norms else {})
    at = end
  return result


def weights_of(
  params_P: jax.Array, kinds: Sequence[Fused], channels: int
) -> list[Params]:
  """The weights of each operation on an edge."""
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


def sums(
  active_DK: jax.Array,
  given_DM: jax.Array,
  x: jax.Array,
  weights_DK: jax.Array,
  params_DP: jax.Array,
  *,
  operations: Sequence[Operation],
  stride: int,
  images: int,
  keep: bool = False,
) -> jax.Array:
  """What the edges carry to the D nodes; `keep` keeps what a gradient needs."""
  x = side_by_side.take(x, images)
  channels = x.shape[-1]
  kinds = fused_forms(operations, stride)
  train = given_DM.size == 0
  gated = [
    gated_operation(operation, stride, train, recompute=not keep)
    for operation in operations
  ]

  def running(given_M):
    return [{}] * len(kinds) if train else moments_of(given_M, kinds, channels)

  one = jnp.ones((), x.dtype)
  shared: Any = 0.0
  first = running(given_DM[0])  # Of what the edges share.
  for k, (kind, apply) in enumerate(zip(kinds, gated)):
    if kind.shared:
      y, _ = apply(active_DK[:, k].any(), one, {}, first[k], x, None)
      used = jnp.where(active_DK[:, k], weights_DK[:, k], 0)
      shared += jnp.tensordot(used, y, 0)

  def edge(_, xs):
    active_K, given_M, weights_K, params_P = xs
    params, averages = weights_of(params_P, kinds, channels), running(given_M)
    y = jnp.zeros(_size(x, stride), x.dtype)
    for k, apply in enumerate(gated):
      if not kinds[k].shared:
        of = active_K[k], weights_K[k], params[k], averages[k]
        y += apply(*of, x, None)[0]
    return None, y

  xs = (active_DK, given_DM, weights_DK, params_DP)
  return side_by_side.put(shared + lax.scan(edge, None, xs)[1], images)


def _size(x: jax.Array, stride: int) -> tuple[int, ...]:
  batch, height, width, channels = x.shape
  return batch, out_size(height, stride), out_size(width, stride), channels


def jvp(*args: jax.Array, inside: bool, **params: Any) -> list[jax.Array]:
  """The states' tangents.

  Args:
    args: x, the source, and its number among the states; active_DK, weights_DK,
      params_DP and given_DM; tangents of the states, of x unless it is `inside`
      them, of weights_DK and params_DP.
    inside: whether x is one of the states.
    params: of `sums`.
  """
  x, at, active_DK, weights_DK, params_DP, given_DM, states_dot, *dots = args
  if inside:
    dots = [states_dot[at], *dots]
  function = functools.partial(sums, active_DK, given_DM, keep=True, **params)
  primals = x, weights_DK, params_DP
  sums_dot = jax.jvp(function, primals, tuple(dots))[1]
  return [add_to_last(states_dot, sums_dot)]


def vjp(
  *args: jax.Array, inside: bool, all_weights: bool, **params: Any
) -> list[jax.Array]:
  """The cotangents of the states, of x unless `inside`, of weights_DK.

  And of params_DP, if `all_weights`.

  Args:
    args: as of `jvp`, with the states' cotangents for tangents.
    inside: whether x is one of the states.
    all_weights: see above.
    params: of `sums`.
  """
  x, at, active_DK, weights_DK, params_DP, given_DM, g = args
  function = functools.partial(sums, active_DK, given_DM, **params)
  back = jax.vjp(function, x, weights_DK, params_DP)[1]
  dx, dweights, dparams = back(g[-len(active_DK) :])
  own = [g.at[at].add(dx)] if inside else [g, dx]
  return [*own, dweights, *([dparams] if all_weights else [])]


def vjp_jvp(*args: jax.Array, **params: Any) -> list[jax.Array]:
  """(arguments of `vjp`, tangents of x, both weights and g) -> its tangents."""
  x, at, active_DK, weights_DK, params_DP, given_DM, g, *dots = args

  def function(x, weights_DK, params_DP, g):
    return vjp(x, at, active_DK, weights_DK, params_DP, given_DM, g, **params)

  primals = x, weights_DK, params_DP, g
  tangents: list[jax.Array] = jax.jvp(function, primals, tuple(dots))[1]
  return tangents
