"""The methods and schedules that ship with the package, by name."""

from collections.abc import Callable, Mapping

from opp_darts_jax import naming
from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.methods.beta_darts import beta_darts
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.darts_minus import darts_minus
from opp_darts_jax.methods.darts_pt import darts_pt
from opp_darts_jax.methods.drnas import drnas
from opp_darts_jax.methods.early_stopping import early_stopping
from opp_darts_jax.methods.fair_darts import fair_darts
from opp_darts_jax.methods.freezing import freezing
from opp_darts_jax.methods.gdas import gdas
from opp_darts_jax.methods.lambda_darts import lambda_darts
from opp_darts_jax.methods.method import Method
from opp_darts_jax.methods.oles import oles
from opp_darts_jax.methods.p_darts import p_darts
from opp_darts_jax.methods.pc_darts import pc_darts
from opp_darts_jax.methods.progressive import progressive
from opp_darts_jax.methods.random_cells import random_cells
from opp_darts_jax.methods.random_sharing import random_sharing
from opp_darts_jax.methods.robust_darts import robust_darts
from opp_darts_jax.methods.sdarts import sdarts_adv, sdarts_rs
from opp_darts_jax.methods.snas import snas

# Further arguments are those of its name, as of a method's.
Schedule = Callable[..., Method]

METHODS: Mapping[str, Callable[..., Method]] = {
  'darts': darts,
  'pc_darts': pc_darts,
  'gdas': gdas,
  'drnas': drnas,
  'fair_darts': fair_darts,
  'beta_darts': beta_darts,
  'darts_minus': darts_minus,
  'sdarts_rs': sdarts_rs,
  'sdarts_adv': sdarts_adv,
  'snas': snas,
  'darts_pt': darts_pt,
  'lambda_darts': lambda_darts,
  'oles': oles,
  'robust_darts': robust_darts,
  'p_darts': p_darts,
  'random_cells': random_cells,
  'random_sharing': random_sharing,
}


def plain(method: Method, schedule: ScheduleConfig) -> Method:
  """The method as it is: all operations enter at the first epoch."""
  del schedule
  return method


SCHEDULES: Mapping[str, Schedule] = {
  'plain': plain,
  'progressive': progressive,
  'early_stopping': early_stopping,
  'freezing': freezing,
}


def get_method(name: str) -> Method:
  """The method of a name, with arguments if it gives any (see naming.py).

  Raises:
    UserError: if there is none, or it does not take these arguments.
  """
  method = naming.make('method', name, METHODS)
  if not isinstance(method, Method):
    raise UserError(
      f'Expected a Method as {name}, got {type(method).__name__}.'
    )
  return method


def scheduled(method: Method, schedule: ScheduleConfig) -> Method:
  """The method in the schedules that a config names.

  Raises:
    UserError: if there are no such schedules, or they do not fit each other.
  """
  names = schedule.names
  if '' in names:
    raise UserError(
      'schedule.name must be a schedule, or several as SCHEDULE+SCHEDULE; got '
      f'{schedule.name!r}.'
    )
  for name in names:
    if names.count(name) > 1:
      raise UserError(
        f'schedule.name must have each schedule once; got {schedule.name!r}.'
      )
  if 'early_stopping' in names[1:]:
    raise UserError(
      "schedule.name must begin with 'early_stopping', which judges what an "
      'epoch has left before others change it; got '
      f'{schedule.name!r}.'
    )
  for text in reversed(naming.split(schedule.name, '+')):
    method = naming.make('schedule', text, SCHEDULES, method, schedule)
    if not isinstance(method, Method):
      raise UserError(
        f'Expected a Method from the schedule {text}, got '
        f'{type(method).__name__}.'
      )
  return method


def configured_method(config: SearchConfig) -> Method:
  """The method that a config names, in the schedules that it names."""
  return scheduled(get_method(config.method), config.schedule)
