"""Schedules that claims need and the package does not have."""

from collections.abc import Sequence

import jax

from opp_darts_jax import Method, ScheduleConfig
from opp_darts_jax.genotypes.cell import SKIP
from opp_darts_jax.methods import growth
from opp_darts_jax.methods.method import Progress
from opp_darts_jax.methods.stages import Change, Search, Stage
from opp_darts_jax.methods.state import SearchState


def skips_late(method: Method, schedule: ScheduleConfig) -> Method:
  """All but skip connections enter at once, these when OPP-DARTS's would."""

  def begin_epoch(
    search: Search, state: SearchState, epoch: int, stages: Sequence[Stage]
  ) -> Change:
    names = search.space.names
    entered: tuple[str, ...] = ()
    if not stages:
      entered = tuple(name for name in names if name != SKIP)
    elif len(stages) == 1 and epoch >= (len(names) - 1) * schedule.stage_epochs:
      entered = (SKIP,)
    if not entered:
      return method.begin_epoch(search, state, epoch, stages)
    active = [name for stage in stages for name in stage.entered]
    fresh = search.fresh(growth.entry_key(search.key, len(active))[0])
    state = growth.grow(state, fresh, search, active, entered)
    stage = Stage(epoch, entered, {})
    change = method.begin_epoch(search, state, epoch, [*stages, stage])
    return change._replace(stage=stage)

  return method._replace(
    name=f'skips_late {method.name}',
    begin_epoch=begin_epoch,
    summary=f'all operations at epoch 0, {SKIP} alone later',
  )


def alphas_late(method: Method, schedule: ScheduleConfig) -> Method:
  """All operations at once; alphas rest for `stage_epochs`, weights do not."""

  def begun(progress: Progress) -> jax.Array:
    return progress.epoch >= schedule.stage_epochs

  return method._replace(
    name=f'alphas_late {method.name}',
    trains_alphas=begun,
    summary=f'all operations, alphas from epoch {schedule.stage_epochs} on',
  )
