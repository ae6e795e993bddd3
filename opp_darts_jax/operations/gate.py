"""An operation behind a condition: an inactive one costs no computing.

Which operations are active is data, so that one compiled program serves every
stage and every candidate of a search.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from opp_darts_jax.operations.linear import linear_call, moving, pick, spread
from opp_darts_jax.operations.norm import normalise
from opp_darts_jax.operations.operation import Operation

# (active, weight, params, running, x, key) -> weight * operation(x), and its
# norms' statistics {'mean': (N, C), 'var': (N, C)}; zeros when not active.
GatedOperation = Callable[..., tuple[jax.Array, Any]]


def gated_operation(
  operation: Operation,
  stride: int,
  train: bool,
  recompute: bool = True,
) -> GatedOperation:
  """The operation with its weight, behind a condition.

  Args:
    operation: the operation.
    stride: of the edge.
    train: whether norms use the batch's statistics.
    recompute: whether the backward pass computes the operation anew, which
      keeps no activation but its input.
  """
  apply = open_operation(operation, stride, train)

  def weighted(weight, *args):
    y, statistics = apply(*args)
    return (weight * y).astype(y.dtype), statistics

  return _gate(weighted, recompute)


def open_operation(
  operation: Operation, stride: int, train: bool
) -> Callable[..., tuple[jax.Array, Any]]:
  """The operation without weight or condition: (params, running, x, key).

  Returns:
    What it gives, and its norms' statistics.
  """

  def apply(params, running, x, key):
    statistics = []

    def norm(measured, i):
      used = None if train else jax.tree.map(lambda t: t[i], running)
      normalised, batch = normalise(measured, used)
      statistics.append(batch)
      return normalised

    y = operation.apply(params, x, norm, stride, key)
    if not statistics:
      return y, {}
    return y, jax.tree.map(lambda *t: jnp.stack(t), *statistics)

  return apply


def _gate(
  weighted: Callable[..., tuple[jax.Array, Any]], recompute: bool
) -> GatedOperation:
  def forward(active, *args):
    return _if_active(active, weighted, *args)

  if not recompute:
    return forward
  gated = jax.custom_jvp(forward)

  def gated_jvp(primals, tangents):
    _, weight_dot, params_dot, _, x_dot, _ = tangents
    dots = (weight_dot, params_dot, x_dot)
    moves = moving(dots)

    def tangent(weight, params, running, x, key, dots):
      def output(weight, params, x):
        return weighted(weight, params, running, x, key)[0]

      at = (weight, params, x)
      return jax.jvp(output, at, spread(dots, moves, at))[1]

    def gradient(weight, params, running, x, key, g):
      def output(weight, params, x):
        return weighted(weight, params, running, x, key)[0]

      return jax.vjp(output, weight, params, x)[1](g)

    y, statistics = gated(*primals)
    y_dot = linear_call(
      lambda primals, dots: _if_active(primals[0], tangent, *primals[1:], dots),
      lambda primals, g: pick(
        _if_active(primals[0], gradient, *primals[1:], g), moves
      ),
      primals,
      pick(dots, moves),
    )
    # Statistics pass no gradient on.
    return (y, statistics), (y_dot, jax.tree.map(jnp.zeros_like, statistics))

  gated.defjvp(gated_jvp, symbolic_zeros=True)
  return gated


def _if_active(
  active: jax.Array, function: Callable[..., Any], *args: Any
) -> Any:
  """What the function gives; zeros when not active."""
  like = jax.eval_shape(function, *args)

  def zeros(*_):
    return jax.tree.map(lambda t: jnp.zeros(t.shape, t.dtype), like)

  return lax.cond(active, function, zeros, *args)
