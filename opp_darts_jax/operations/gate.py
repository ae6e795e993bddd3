"""An operation behind a condition: an inactive one costs no computing.

Which operations are active is data, so that one compiled program serves every
stage and every candidate of a search.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from opp_darts_jax.operations.norm import normalise
from opp_darts_jax.operations.operation import Operation

# (active, weight, params, running, x, key) -> weight * operation(x), and its
# norms' statistics {'mean': (N, C), 'var': (N, C)}; zeros when not active.
GatedOperation = Callable[..., tuple[jax.Array, Any]]


def gated_operation(
  operation: Operation,
  stride: int,
  train: bool,
  batched: bool = False,
  recompute: bool = True,
) -> GatedOperation:
  """The operation with its weight, behind a condition.

  Args:
    operation: the operation.
    stride: of the edge.
    train: whether norms use the batch's statistics.
    batched: for several copies of the operation behind one condition: all
      arguments but `active`, and what is returned, have one axis more, first.
    recompute: whether the backward pass computes the operation anew, which
      keeps no activation but its input.
  """

  def weighted(weight, params, running, x, key):
    statistics = []

    def norm(measured, i):
      used = None if train else jax.tree.map(lambda t: t[i], running)
      normalised, batch = normalise(measured, used)
      statistics.append(batch)
      return normalised

    y = operation.apply(params, x, norm, stride, key)
    if not statistics:
      return (weight * y).astype(y.dtype), {}
    statistics = jax.tree.map(lambda *t: jnp.stack(t), *statistics)
    return (weight * y).astype(y.dtype), statistics

  return _gate(jax.vmap(weighted) if batched else weighted, recompute)


def _gate(
  weighted: Callable[..., tuple[jax.Array, Any]], recompute: bool
) -> GatedOperation:
  def zeros(*args, like):
    del args
    return jax.tree.map(lambda t: jnp.zeros(t.shape, t.dtype), like)

  def backward(weight, params, running, x, key, g):
    def output(weight, params, x):
      return weighted(weight, params, running, x, key)[0]

    return jax.vjp(output, weight, params, x)[1](g)

  def forward(active, *args):
    none = functools.partial(zeros, like=jax.eval_shape(weighted, *args))
    return lax.cond(active, weighted, none, *args)

  if not recompute:
    return forward
  gated = jax.custom_vjp(forward)

  def gated_fwd(active, *args):
    # Not `gated`, which has no forward derivative, as second order takes.
    return forward(active, *args), (active, args)

  def gated_bwd(residuals, cotangents):
    active, args = residuals
    args = (*args, cotangents[0])  # Statistics pass no gradient on.
    none = functools.partial(zeros, like=jax.eval_shape(backward, *args))
    weight, params, x = lax.cond(active, backward, none, *args)
    return None, weight, params, None, x, None

  gated.defvjp(gated_fwd, gated_bwd)
  return gated
