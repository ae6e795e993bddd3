"""Operation freezing around any method: operations stop one by one.

By the rule of OLES (Jiang et al., "Operation-Level Early Stopping for
Robustifying Differentiable NAS", NeurIPS 2023) the weights of an operation on
an edge rest for good once they overfit: once the gradients of the training and
of the validation loss for them agree too little, on average over a window of
steps. The agreement of an instance is the mean, over its kernels and their
other axes, of the cosine along the output channels, as in the authors' code. A
bias before a norm has no gradient but what rounding leaves.

What deviates: both gradients are taken at the same weights, those of the weight
step. The authors' code adds the training gradient of the step before to that of
the validation loss, as it is not cleared, and sums 21 steps for a window of 20;
here is what the paper says.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.method import Draw, Gradients, Method
from opp_darts_jax.methods.moving import check_trained
from opp_darts_jax.methods.nested import keep, kept, nested, with_kept
from opp_darts_jax.methods.stages import Change, Search, Stage
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.tables import Tables
from opp_darts_jax.spaces.space import Space

_TINY = 1e-36  # Products of squared lengths below it are no gradient.


@memoized(16)
def freezing(
  method: Method,
  schedule: ScheduleConfig,
  threshold: float = 0.4,
  window: int = 20,
) -> Method:
  """The method, whose operations stop one by one.

  Args:
    method: what to search by.
    schedule: of the config; nothing of it counts here.
    threshold: of the mean agreement, below which an instance rests.
    window: steps over which it is averaged.

  Raises:
    UserError: unless the window is at least 1.
  """
  del schedule
  if window < 1:
    raise UserError(
      f'freezing takes window of at least 1; got window={window!r}.'
    )
  inner = nested(method, init_kept)

  def check(config: SearchConfig, space: Space) -> None:
    method.check(config, space)
    if method.single_level:
      raise UserError(
        'freezing compares gradients of two halves of a step; '
        f'{method.name} has one level, whose steps have one.'
      )
    check_trained(method, space, 'freezing')

  def weight_gradient(
    gradients: Gradients, tables: Tables, own: Any, draw: Draw
  ) -> tuple[Any, Any, Any]:
    if inner.weight_gradient is None:
      found, grads = gradients.weights(tables)
    else:
      found, grads, own = inner.weight_gradient(gradients, tables, own, draw)
    others = gradients.validation(tables)
    watched_now = {
      cell: {
        name: watched(
          instances,
          *agreement(grads[cell][name], others[cell][name]),
          threshold,
          window,
        )
        for name, instances in operations.items()
      }
      for cell, operations in kept(own).items()
    }
    return found, grads, with_kept(own, watched_now)

  def may_move(own: Any, weights: Any) -> Any:
    rest = moves(kept(own), weights)
    if inner.moves is None:
      return rest
    return jax.tree.map(jnp.logical_and, rest, inner.moves(own, weights))

  def begin_epoch(
    search: Search, state: SearchState, epoch: int, stages: Sequence[Stage]
  ) -> Change:
    change = inner.begin_epoch(search, state, epoch, stages)
    if change.search is None:
      return change
    # Another supernet, whose weights are fresh.
    fresh = init_kept(search.space, change.state.weights)
    return change._replace(state=keep(change.state, fresh))

  return inner._replace(
    name=f'freezing(threshold={threshold}, window={window}) {method.name}',
    check=check,
    weight_gradient=weight_gradient,
    moves=may_move,
    begin_epoch=begin_epoch,
    summary=f'{method.summary}; operations that overfit rest one by one',
  )


def init_kept(space: Space, weights: Any) -> dict[str, Any]:
  """{cell: {operation: of each instance the sum, its steps, whether it rests}}.

  Of the parametric operations; skips of stride 2 never rest.
  """
  parametric = [o.name for o in space.operations if o.parametric]

  def instances(leaves):
    count = len(jax.tree.leaves(leaves)[0])
    return {
      'sum': jnp.zeros(count),
      'steps': jnp.zeros(count, jnp.int32),
      'rests': jnp.zeros(count, bool),
    }

  return {
    cell: {
      name: instances(operations[name])
      for name in parametric
      if jax.tree.leaves(operations.get(name, {}))
    }
    for cell, operations in weights.items()
    if isinstance(operations, dict)
    and any(name in operations for name in parametric)
  }


def agreement(one: Any, other: Any) -> tuple[jax.Array, jax.Array]:
  """How far two gradients for an operation's weights agree.

  Args:
    one: of the weights, tensors (copies, ..., output channels).
    other: likewise.

  Returns:
    The mean cosine of each copy over its kernels, where it has any, (copies,),
    and whether it has a gradient: what is not active has none.
  """

  def cosines(a, b):
    lengths = (a**2).sum(-1) * (b**2).sum(-1)
    each = (a * b).sum(-1) * jax.lax.rsqrt(jnp.maximum(lengths, _TINY))
    return each.reshape(len(a), -1).mean(1)

  pairs = list(zip(jax.tree.leaves(one), jax.tree.leaves(other)))
  pairs = [pair for pair in pairs if pair[0].ndim > 2] or pairs
  mean = sum(cosines(a, b) for a, b in pairs) / len(pairs)
  active = [(a != 0).reshape(len(a), -1).any(1) for a, _ in pairs]
  return mean, jnp.stack(active).any(0)


def watched(
  instances: dict[str, jax.Array],
  score: jax.Array,
  active: jax.Array,
  threshold: float,
  window: int,
) -> dict[str, jax.Array]:
  """What is kept of an operation's instances after a step."""
  total = instances['sum'] + jnp.where(active, score, 0.0)
  steps = instances['steps'] + active
  full = steps >= window
  rests = instances['rests'] | (full & (total / window < threshold))
  return {
    'sum': jnp.where(full, 0.0, total),
    'steps': jnp.where(full, 0, steps),
    'rests': rests,
  }


def moves(known: dict[str, Any], weights: Any) -> Any:
  """All weights but those of instances that rest."""

  def moving(path, leaf):
    names = [getattr(part, 'key', '') for part in path]
    own = known.get(names[0], {}).get(names[1] if len(names) > 1 else '')
    if own is None:
      return jnp.ones(leaf.shape, bool)
    shape = (-1, *[1] * (leaf.ndim - 1))
    return jnp.broadcast_to(~own['rests'].reshape(shape), leaf.shape)

  return jax.tree_util.tree_map_with_path(moving, weights)
