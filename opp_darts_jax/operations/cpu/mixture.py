"""The operations on the edges that leave a node, as one kernel.

On CPU the compiler's time goes by the number of operations in a program, and
the step's by how often memory is read and written. One C++ kernel computes all
active operations of a node's edges, normalised and weighted, and adds them to
the nodes that the edges feed, in place; another computes all their gradients
(mixture_primitives.py). What is not active costs nothing.

Axes: N nodes, D edges, K operations, P weights of them all, M moments of all
their norms; S sources; B batch, H W C.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from opp_darts_jax.operations.cpu.mixture_parts import fused_forms, moments_of
from opp_darts_jax.operations.cpu.mixture_primitives import (
  edges_p,
  jvp_p,
  vjp_p,
)
from opp_darts_jax.operations.linear import linear_call, moving, pick, spread
from opp_darts_jax.operations.norm import Statistics, unbiased
from opp_darts_jax.operations.operation import Operation, Params


def pack(
  params: Sequence[Params], copies: tuple[int, ...], dtype: Any
) -> jax.Array:
  """Weights (copies, ...) of each separable operation -> (copies, P)."""
  return _join(
    [p[name] for p in params for name in ('depthwise', 'pointwise')],
    copies,
    dtype,
  )


def pack_moments(
  averages: Sequence[Statistics], copies: tuple[int, ...], dtype: Any
) -> jax.Array:
  """Moments (copies, norms, C) of each operation that has norms -> (copies, M).

  Those of what the edges share are the first one's.
  """
  return _join(
    [a[name] for a in averages for name in ('mean', 'var')], copies, dtype
  )


def _join(
  leaves: Sequence[jax.Array], copies: tuple[int, ...], dtype: Any
) -> jax.Array:
  rows = [leaf.reshape(*copies, -1).astype(dtype) for leaf in leaves]
  return jnp.concatenate([*rows, jnp.zeros((*copies, 0), dtype)], -1)


def add_edges(
  operations: Sequence[Operation],
  states: jax.Array,
  source: jax.Array,
  active_DK: jax.Array,
  weights_DK: jax.Array,
  params_DP: jax.Array,
  given_DM: jax.Array,
  stride: int,
  images: int = 1,
) -> tuple[jax.Array, jax.Array]:
  """Adds the weighted sums of active operations to nodes.

  Args:
    operations: the K operations, all of which have a fused form.
    states: (N, B, H, W, C); the edges feed the last D of the nodes, in order.
    source: what all the edges start from: the number of one of the states,
      which an active edge must not feed, or a node that is not among them,
      (B, H', W', C) with H = ceil(H' / stride).
    active_DK: which operations are active.
    weights_DK: of each operation.
    params_DP: `pack`ed.
    given_DM: moments that the norms take, packed; (D, 0) if they take those of
      what they normalise.
    stride: of the edges.
    images: that lie side by side (side_by_side.py) in states and source.

  Returns:
    The new states, and the moments of the operations' norms (D, M), 0 where
    not active, or (D, 0) if they were given. No gradient goes through moments.
  """
  inside = source.ndim == 0
  return tuple(
    edges_p.bind(
      states,
      source.astype(jnp.int32) if inside else source,
      active_DK,
      weights_DK,
      params_DP,
      given_DM,
      operations=tuple(operations),
      stride=stride,
      images=images,
      inside=inside,
    )
  )


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def add_sources(
  operations: tuple[Operation, ...],
  images: int,
  states: jax.Array,
  sources_S: jax.Array,
  active_SDK: jax.Array,
  weights_SDK: jax.Array,
  params_SDP: jax.Array,
  given_SDM: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """`add_edges` of one source after another, all of them among the states.

  What a source is when its edges start it still is in the end, if no later
  one feeds it: the gradient keeps nothing but the states that are returned.

  Args:
    operations: the K operations.
    images: that lie side by side in the states.
    states: (N, B, H, W, C).
    sources_S: their numbers; a later source must not feed an earlier one.
    active_SDK: which operations are active.
    weights_SDK: of each operation.
    params_SDP: `pack`ed.
    given_SDM: moments that the norms take, or (S, D, 0).

  Returns:
    The new states, and the moments (S, D, M), or (S, D, 0).
  """

  def add(states, xs):
    source, active_DK, weights_DK, params_DP, given_DM = xs
    return add_edges(
      operations,
      states,
      source,
      active_DK,
      weights_DK,
      params_DP,
      given_DM,
      1,
      images,
    )

  xs = sources_S, active_SDK, weights_SDK, params_SDP, given_SDM
  return lax.scan(add, states, xs)


@functools.partial(add_sources.defjvp, symbolic_zeros=True)
def _add_sources_jvp(operations, images, primals, tangents):
  states_dot, _, _, weights_dot, params_dot, _ = tangents
  dots = (states_dot, weights_dot, params_dot)
  moves = moving(dots)
  call = {
    'operations': operations,
    'stride': 1,
    'images': images,
    'inside': True,
  }

  def along(kept, dots):
    states, *xs = kept
    _, _, weights, params, _ = xs
    states_dot, *xs_dot = spread(dots, moves, (states, weights, params))

    def step(states_dot, xs):
      (source, *others), xs_dot = xs
      (states_dot,) = jvp_p.bind(
        states[source], source, *others, states_dot, *xs_dot, **call
      )
      return states_dot, None

    return lax.scan(step, states_dot, (xs, xs_dot))[0]

  def back(kept, g):
    states, *xs = kept

    def step(g, xs):
      source, *others = xs
      g, *grads = vjp_p.bind(
        states[source], source, *others, g, all_weights=moves[-1], **call
      )
      return g, grads

    g, grads = lax.scan(step, g, tuple(xs), reverse=True)
    return pick([g, *grads], moves)

  states, moments = add_sources(operations, images, *primals)
  kept = (states, primals[1].astype(jnp.int32), *primals[2:])
  tangent = linear_call(along, back, kept, pick(dots, moves))
  # Moments pass no gradient on.
  return (states, moments), (tangent, jnp.zeros_like(moments))


def statistics(
  operations: Sequence[Operation],
  stride: int,
  moments: jax.Array,
  states: jax.Array,
  images: int = 1,
) -> list[Statistics]:
  """The norms' statistics {'mean', 'var'} of each operation; {} without norms.

  Args:
    operations: of `add_edges`.
    stride: of the edges.
    moments: of `add_edges`, (..., D, M).
    states: that they are of, (N, B, H, W, C).
    images: that lie side by side in these.

  Returns:
    Of each operation (..., D, norms, C), without the D if its edges share it.
  """
  channels = states.shape[-1] // images
  count = states[0].size // channels
  result: list[Statistics] = []
  kinds = fused_forms(operations, stride)
  for kind, own in zip(kinds, moments_of(moments, kinds, channels)):
    batch = {k: t[..., 0, :, :] if kind.shared else t for k, t in own.items()}
    if batch:
      batch['var'] = unbiased(batch['var'], count)
    result.append(batch)
  return result
