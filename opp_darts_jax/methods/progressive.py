"""The progressive schedule: operations enter stage by stage.

OPP-DARTS (Zhu et al., "Operation-level Progressive Differentiable Architecture
Search", ICDM 2021), algorithm 1: a parametric operation first, skip connections
last, and between them always the candidate with the largest operation loss. It
goes around any method.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.errors import UserError, check_finite
from opp_darts_jax.genotypes.cell import SKIP
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods import answers, growth
from opp_darts_jax.methods.method import Method
from opp_darts_jax.methods.nested import inside
from opp_darts_jax.methods.stages import Change, Search, Stage
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.spaces.space import Space


@memoized(16)
def progressive(method: Method, schedule: ScheduleConfig) -> Method:
  """The method, with operations that enter one by one.

  Args:
    method: what to search by.
    schedule: how many epochs a stage has, and which operation is next.

  Raises:
    UserError: if something is around early stopping, inside which this goes.
  """
  name = f'progressive {method.name}'
  if method.inside is not None:
    return inside(
      method, lambda own: progressive(own, schedule), "schedule 'progressive'"
    )._replace(name=name)

  def check(config: SearchConfig, space: Space) -> None:
    method.check(config, space)
    check_length(config, space, schedule)

  def begin_epoch(
    search: Search, state: SearchState, epoch: int, stages: Sequence[Stage]
  ) -> Change:
    active = [name for stage in stages for name in stage.entered]
    if not stage_begins(schedule, search.space, epoch, active):
      return answers.changed(method, search, state, epoch, stages)
    state, stage = _next_stage(search, schedule, state, epoch, active)
    # A method has its say, of freezing or stopping, in every epoch.
    change = answers.changed(method, search, state, epoch, [*stages, stage])
    return change._replace(stage=stage)

  return method._replace(
    name=name,
    check=check,
    begin_epoch=begin_epoch,
    summary=_summary(schedule),
    schedule=schedule,
  )


def _summary(schedule: ScheduleConfig) -> str:
  every = f'one operation every {schedule.stage_epochs} epochs'
  if schedule.selection in ('largest', 'smallest'):
    return (
      f'{every}, {schedule.selection} operation loss next, {SKIP} last '
      '(OPP-DARTS)'
    )
  return f'{every}, {schedule.selection} order'


def _next_stage(
  search: Search,
  schedule: ScheduleConfig,
  state: SearchState,
  epoch: int,
  active: Sequence[str],
) -> tuple[SearchState, Stage]:
  """Chooses the operations that enter now, and grows the state by them.

  All of it follows from the state and the seed: a run that is cut off here
  begins the choice again, with the same fresh weights.
  """
  space = search.space
  fresh_key, score_key = growth.entry_key(search.key, len(active))
  fresh = search.fresh(fresh_key)
  names = candidates(space, schedule, active)
  losses: dict[str, float] = {}
  if needs_scores(schedule, names):
    offered = growth.offer(state, fresh, space, names)
    losses = {
      name: search.score(
        offered, growth.grown_mask(state, space, active, [name]), score_key
      )
      for name in names
    }
  seed = search.config.seed, len(active)
  entered = entering(space, active, rank(schedule, names, losses, seed))
  state = growth.grow(state, fresh, search, active, entered)
  return state, Stage(epoch, entered, losses)


def candidates(
  space: Space, schedule: ScheduleConfig, active: Sequence[str]
) -> tuple[str, ...]:
  """The operations of which the next one to enter is chosen.

  Parametric ones at first, skip_connect when nothing else is left; whatever is
  next in a fixed order.
  """
  outside = [name for name in space.names if name not in active]
  if schedule.selection == 'fixed':
    return tuple(o for o in schedule.order if o in outside)
  if not active:
    return tuple(o for o in outside if space.operation(o).parametric)
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
    check_finite(f'operation loss of {name}', losses[name], 'the search')
  sign = -1 if schedule.selection == 'largest' else 1
  return tuple(sorted(names, key=lambda name: sign * losses[name]))


def entering(
  space: Space, active: Sequence[str], ranked: Sequence[str]
) -> tuple[str, ...]:
  """The operations that enter: the first of `ranked`.

  At the first stage as many as are needed for signal to reach every node,
  which is more than one only where edges differ in what they may have.
  """
  entered: list[str] = []
  for name in ranked:
    entered.append(name)
    if _reaches(space, [*active, *entered]):
      break
  return tuple(entered)


def needs_scores(schedule: ScheduleConfig, names: Sequence[str]) -> bool:
  """Whether the choice among these candidates depends on their losses."""
  return len(names) > 1 and schedule.selection in ('largest', 'smallest')


def stage_begins(
  schedule: ScheduleConfig, space: Space, epoch: int, active: Sequence[str]
) -> bool:
  """Whether operations enter at the start of this epoch."""
  complete = len(active) == len(space.operations)
  return not complete and epoch % schedule.stage_epochs == 0


def check_length(
  config: SearchConfig, space: Space, schedule: ScheduleConfig
) -> None:
  """Raises `UserError` if the search may end before every operation entered.

  Where edges differ in what they may have, the first stage takes several: how
  many depends on the losses, and it is never fewer than reach every node.
  """
  order = schedule.order
  if order and sorted(order) != sorted(space.names):
    raise UserError(
      f'schedule.order must list each operation of space {space.name!r} '
      f'once ({", ".join(space.names)}); got {", ".join(order)}.'
    )
  count = len(space.operations)
  later = count - _first_entries(space, schedule)
  least = later * schedule.stage_epochs + 1
  if config.epochs < least:
    raise UserError(
      f'epochs must be at least {least} for the {count} operations of space '
      f'{space.name!r} to enter, one every {schedule.stage_epochs} '
      f'epochs (schedule.stage_epochs); got {config.epochs}.'
    )


def count_scored(space: Space, schedule: ScheduleConfig) -> int:
  """How many candidates a whole search scores, one by one.

  Where edges differ in what they may have, about as many: it depends on which
  enter together.
  """
  active: list[str] = []
  scored = 0
  while names := candidates(space, schedule, active):
    scored += len(names) if needs_scores(schedule, names) else 0
    active += entering(space, active, names)
  return scored


def _first_entries(space: Space, schedule: ScheduleConfig) -> int:
  """How many operations enter at the first stage, at least."""
  names = candidates(space, schedule, ())
  if schedule.selection == 'fixed':
    return len(entering(space, (), names))
  sizes = (
    size
    for size in range(1, len(names))
    for chosen in itertools.combinations(names, size)
    if _reaches(space, chosen)
  )
  return next(sizes, len(names))


def _reaches(space: Space, active: Sequence[str]) -> bool:
  """Whether signal gets to every node of every kind of cell."""
  return all(space.reachable(mask) for mask in space.mask(active).values())
