"""The progressive schedule: which operation enters when, and growth.

OPP-DARTS, algorithm 1: a parametric operation first, skip connections last, and
between them always the candidate with the largest operation loss.
"""

import math
from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.space import (
  SKIP,
  SearchSpace,
  get_space,
  parametric,
)
from opp_darts_jax.methods.bilevel import SearchState


class Stage(NamedTuple):
  """A stage of the search.

  Attributes:
    epoch: at whose start it begins.
    entered: the operations that entered then, in order.
    losses: operation loss of every candidate; empty if none was scored.
  """

  epoch: int
  entered: tuple[str, ...]
  losses: dict[str, float]

  @classmethod
  def from_json(cls, fields: Mapping[str, Any]) -> Self:
    """The stage whose `_asdict` went through JSON."""
    return cls(fields['epoch'], tuple(fields['entered']), fields['losses'])


def candidates(
  space: SearchSpace, schedule: ScheduleConfig, active: Sequence[str]
) -> tuple[str, ...]:
  """The operations of which the next one to enter is chosen.

  Parametric ones at first, skip_connect when nothing else is left; whatever is
  next in a fixed order.
  """
  outside = [o for o in space.operations if o not in active]
  if schedule.selection == 'fixed':
    return tuple(o for o in schedule.order if o in outside)
  if not active:
    return tuple(o for o in outside if parametric(o))
  return tuple(o for o in outside if o != SKIP) or tuple(outside)


def rank(
  schedule: ScheduleConfig,
  names: Sequence[str],
  losses: Mapping[str, float],
  seed: Sequence[int],
) -> tuple[str, ...]:
  """The candidates, the one to enter first.

  Args:
    schedule: its rule of selection.
    names: the candidates.
    losses: operation loss of each, where the choice depends on it.
    seed: decides a random selection.

  Raises:
    UserError: if an operation loss is not finite.
  """
  if schedule.selection == 'random':
    return tuple(np.random.default_rng(seed).permutation(list(names)).tolist())
  if not needs_scores(schedule, names):
    return tuple(names)
  for name in names:
    if not math.isfinite(losses[name]):
      raise UserError(
        f'The operation loss of {name} must be finite, but is {losses[name]}: '
        'the search has diverged; lower weights.learning_rate.'
      )
  sign = -1 if schedule.selection == 'largest' else 1
  return tuple(sorted(names, key=lambda name: sign * losses[name]))


def entering(
  space: SearchSpace, nodes: int, active: Sequence[str], ranked: Sequence[str]
) -> tuple[str, ...]:
  """The operations that enter: the first of `ranked`.

  At the first stage as many as are needed for signal to reach every node,
  which is more than one only where edges differ in what they may have.
  """
  entered: list[str] = []
  for name in ranked:
    entered.append(name)
    mask = space.mask(nodes, [*active, *entered])
    if all(space.reachable(mask_EK, nodes) for mask_EK in mask.values()):
      break
  return tuple(entered)


def needs_scores(schedule: ScheduleConfig, names: Sequence[str]) -> bool:
  """Whether the choice among these candidates depends on their losses."""
  return len(names) > 1 and schedule.selection in ('largest', 'smallest')


def stage_begins(
  config: SearchConfig, epoch: int, active: Sequence[str]
) -> bool:
  """Whether operations enter at the start of this epoch."""
  complete = len(active) == len(get_space(config.space).operations)
  return not complete and epoch % config.schedule.stage_epochs == 0


def check_length(config: SearchConfig) -> None:
  """Raises `UserError` if the search ends before every operation entered."""
  if config.schedule.method == 'darts':
    return
  stages = len(get_space(config.space).operations)
  least = (stages - 1) * config.schedule.stage_epochs + 1
  if config.epochs < least:
    raise UserError(
      f'epochs must be at least {least} for the {stages} operations of space '
      f'{config.space!r} to enter, one every {config.schedule.stage_epochs} '
      f'epochs (schedule.stage_epochs); got {config.epochs}.'
    )


def learning_rate(
  config: SearchConfig, epoch: int, stage_epochs: Sequence[int]
) -> float:
  """The weights' learning rate in an epoch.

  Args:
    config: its cosine over all epochs; 'reanchored' starts it anew from the
      current rate at each stage.
    epoch: counted from 0.
    stage_epochs: at which stages began, ascending.
  """
  rates = config.weights
  least = rates.learning_rate_min

  def cosine(start, rate, at):
    share = (at - start) / (config.epochs - start)
    return least + (rate - least) * (1 + math.cos(math.pi * share)) / 2

  start, rate = 0, rates.learning_rate
  if config.schedule.cosine == 'reanchored':
    for begin in stage_epochs:
      if begin <= epoch:
        start, rate = begin, cosine(start, rate, begin)
  return cosine(start, rate, epoch)


def with_operations(tree: Any, source: Any, operations: Container[str]) -> Any:
  """`tree`, but with `source`'s leaves for these operations."""

  def pick(path, leaf, new):
    own = any(getattr(key, 'key', None) in operations for key in path)
    return new if own else leaf

  return jax.tree_util.tree_map_with_path(pick, tree, source)


def with_columns(
  tables: Any, source: Any, space: SearchSpace, operations: Sequence[str]
) -> Any:
  """Alpha tables, but with `source`'s columns for these operations."""
  column_K = jnp.array([o in operations for o in space.operations])
  return jax.tree.map(lambda a, b: jnp.where(column_K, b, a), tables, source)


def without_operations(state: SearchState, space: SearchSpace) -> SearchState:
  """The state before the first stage: weights of all operations are zero."""
  zeros = jax.tree.map(jnp.zeros_like, state.weights)
  return state.replace(
    weights=with_operations(state.weights, zeros, space.operations),
    mask=jax.tree.map(jnp.zeros_like, state.mask),
  )


def offer(
  state: SearchState,
  fresh: SearchState,
  space: SearchSpace,
  operations: Sequence[str],
) -> SearchState:
  """The state with fresh weights and alphas for operations not yet in it.

  Nothing else changes, the mask neither: an operation takes part once the mask
  has it.
  """
  return state.replace(
    weights=with_operations(state.weights, fresh.weights, operations),
    batch_stats=with_operations(
      state.batch_stats, fresh.batch_stats, operations
    ),
    alphas=with_columns(state.alphas, fresh.alphas, space, operations),
  )


def grow(
  state: SearchState,
  fresh: SearchState,
  config: SearchConfig,
  active: Sequence[str],
  entered: Sequence[str],
) -> SearchState:
  """The state of the next stage: `entered` join the `active` operations.

  Every leaf of other operations is kept to the bit.

  Args:
    state: at the end of the stage before.
    fresh: an initial state; the weights of the entering operations and their
      alphas are taken from it, so that they are those that were scored.
    config: its `schedule.boundary` decides whether optimisers forget.
    active: the operations of the stage before.
    entered: those that enter.
  """
  space = get_space(config.space)
  state = offer(state, fresh, space, entered).replace(
    mask=jax.tree.map(
      jnp.asarray, space.mask(config.nodes, [*active, *entered])
    )
  )
  if config.schedule.boundary == 'reset':
    state = state.replace(
      weight_opt=fresh.weight_opt, alpha_opt=fresh.alpha_opt
    )
  return state
