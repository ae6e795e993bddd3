"""How operations enter a supernet: every other leaf is kept to the bit."""

from collections.abc import Container, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.methods.stages import Change, Search, Stage
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.spaces.space import Space


def entry_key(key: jax.Array, active: int) -> tuple[jax.Array, jax.Array]:
  """The keys of an entry: of what is fresh, and of scoring.

  Args:
    key: of the whole search.
    active: how many operations have entered before.
  """
  init_key, score_key = jax.random.split(
    jax.random.fold_in(jax.random.fold_in(key, 1), active)
  )
  return init_key, score_key


def with_operations(tree: Any, source: Any, operations: Container[str]) -> Any:
  """`tree`, but with `source`'s leaves for these operations of cells."""

  def pick(path, leaf, new):
    # Cells are named at first, their operations next.
    own = len(path) > 1 and path[1].key in operations
    return new if own else leaf

  return jax.tree_util.tree_map_with_path(pick, tree, source)


def with_columns(
  alphas: Any, source: Any, space: Space, operations: Sequence[str]
) -> Any:
  """Parameters, but with `source`'s columns for these operations."""
  column_K = jnp.array([name in operations for name in space.names])
  return alphas | {
    kind: jnp.where(column_K, source[kind], alphas[kind])
    for kind in space.kinds
  }


def without_operations(state: SearchState, space: Space) -> SearchState:
  """The state before the first stage: weights of all operations are zero.

  What is zero is on the host, for which no program has to be compiled.
  """

  def zeros(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), tree)

  return state.replace(
    weights=with_operations(state.weights, zeros(state.weights), space.names),
    mask=zeros(state.mask),
  )


def offer(
  state: SearchState,
  fresh: SearchState,
  space: Space,
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


def grown_mask(
  state: SearchState,
  space: Space,
  active: Sequence[str],
  entered: Sequence[str],
) -> dict[str, np.ndarray]:
  """The state's mask of the `active` operations, and all of the `entered`.

  An active operation stays where the state has it: it may have been taken from
  some edges.
  """
  kept, new = space.mask(active), space.mask(entered)
  mask = jax.device_get(state.mask)
  return {kind: mask[kind] & kept[kind] | new[kind] for kind in space.kinds}


def grow(
  state: SearchState,
  fresh: SearchState,
  search: Search,
  active: Sequence[str],
  entered: Sequence[str],
) -> SearchState:
  """The state of the next stage: `entered` join the `active` operations.

  Every leaf of other operations is kept to the bit.

  Args:
    state: at the end of the stage before.
    fresh: an initial state; the weights of the entering operations and their
      alphas are taken from it, so that they are those that were scored.
    search: its `config.schedule.boundary` decides whether optimisers forget.
    active: the operations of the stage before; they stay on the edges on which
      the state has them.
    entered: those that enter.
  """
  mask = grown_mask(state, search.space, active, entered)
  state = offer(state, fresh, search.space, entered).replace(
    mask=jax.device_put(mask)
  )
  if search.config.schedule.boundary == 'reset':
    state = state.replace(
      weight_opt=fresh.weight_opt, alpha_opt=fresh.alpha_opt
    )
  return state


def check_entered(
  config: SearchConfig, space: Space, epoch: int, what: str
) -> None:
  """Raises `UserError` if operations may enter when a method takes some away.

  Args:
    config: its schedule.
    space: of the search.
    epoch: at which the method begins to.
    what: that is, for the message.
  """
  schedule = config.schedule
  last = (len(space.operations) - 1) * schedule.stage_epochs
  if 'progressive' in schedule.names and last >= epoch:
    raise UserError(
      f'All operations must have entered before {what}, at epoch {epoch}; in '
      f'the progressive schedule the last may enter at epoch {last}: take '
      "schedule.name='plain', fewer schedule.stage_epochs or more epochs."
    )


def all_enter(
  search: Search, state: SearchState, epoch: int, stages: Sequence[Stage]
) -> Change:
  """`Method.begin_epoch` without a schedule: all enter at the first epoch."""
  if stages:
    return Change(state)
  fresh = search.fresh(entry_key(search.key, 0)[0])
  names = search.space.names
  state = grow(state, fresh, search, (), names)
  return Change(state, Stage(epoch, names, {}))
