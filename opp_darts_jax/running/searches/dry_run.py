"""What a search would do, and take on an accelerator that is not here."""

import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.data import dataset
from opp_darts_jax.methods import progressive
from opp_darts_jax.methods.state import Metrics
from opp_darts_jax.running import evaluation
from opp_darts_jax.running.accelerators import absent
from opp_darts_jax.running.accelerators.absent import Absent
from opp_darts_jax.running.accelerators.forecast import Forecast, Part, of_parts
from opp_darts_jax.running.devices import Devices, arguments_on
from opp_darts_jax.running.runs.plan import contact_sheet
from opp_darts_jax.running.searches import cost, monitor, plan
from opp_darts_jax.running.searches.joint_programs import (
  JointPrograms,
  make_joint_programs,
)
from opp_darts_jax.running.searches.live import LiveSearch, prepare, programs_of
from opp_darts_jax.running.searches.programs import Programs
from opp_darts_jax.running.searches.search import checked


def dry_run(
  config: SearchConfig, folder: str | pathlib.Path, *, target: str = ''
) -> str:
  """What the config would search, without searching it.

  Args:
    config: of the search.
    folder: gets a `contact_sheet.png`.
    target: an accelerator of `ACCELERATORS` (accelerators/catalogue.py), which
      need not be here: what the search would take there, by what is compiled
      for it.

  Raises:
    UserError: if the config does not fit the images, the space or the method,
      or if there is no such target or no compiler for it.
  """
  aimed = absent.find(target) if target else None
  config.check_new()
  config, space, method, devices = checked(config, None, None)
  monitor.check(config.monitor, method)
  images = dataset.load(config.data)
  method = cost.held(config, space, method, images)
  search = prepare(config, space, method, images, devices)
  lines = [plan.of_search(search), contact_sheet(config, images, folder)]
  if aimed is not None:
    lines.append(forecast_of_search(search, aimed).text)
  return '\n'.join(lines)


def forecast_of_search(search: LiveSearch, target: Absent) -> Forecast:
  """What a search would take.

  Args:
    search: prepared; it need not have begun. With several `search_seeds`, what
      is said is of all of them together.
    target: where it would run, on one device.
  """
  config, per_epoch = search.config, search.per_epoch
  devices = target.devices
  made = programs_of(
    config, search.space, search.method, search.images, per_epoch, devices
  )
  count = len(search.data.val_rows)
  batches = -(-count // evaluation.batch_size(config, devices, count))
  evaluations = sum(map(config.evaluates, range(config.epochs)))
  programs: Programs | JointPrograms = made
  state, sums, data, key, total = shapes_for(search, made, devices)
  own: list[Any] = [state, sums, key, 0.1, total, state.mask]
  if seeds := len(config.search_seeds):
    programs = make_joint_programs(made, config, devices)
    own = [(one,) * seeds for one in own]
  states, sums, keys, rates, totals, masks = own
  parts = [
    Part(
      'steps',
      programs.steps,
      (states, sums, data, keys, rates, 1),
      config.epochs * per_epoch,
    ),
    Part(
      'evaluation',
      programs.evaluate,
      (states, data, None),
      evaluations,
      batches,
    ),
  ]
  if 'progressive' in config.schedule.names:
    each = min(config.schedule.score_batches or per_epoch, per_epoch)
    arguments = totals, states, masks, data, keys, 0, 1
    scored = progressive.count_scored(search.space, config.schedule)
    parts.append(Part('scoring', programs.score, arguments, scored * each))
  found = of_parts(parts, target.accelerator, config.precision)
  last = (
    '            as if all operations had entered from the start, into a '
    f'supernet of {config.layers} cells throughout'
  )
  return found._replace(text=f'{found.text}\n{last}')


class Shapes(NamedTuple):
  """Shapes of what the programs of a search are given, on their devices."""

  state: Any
  sums: Any
  data: Any
  key: Any
  total: Any


def shapes_for(
  search: LiveSearch, programs: Programs, devices: Devices
) -> Shapes:
  """Those of a search, for its programs or others, on devices or others."""
  key = arguments_on(devices, search.key)
  state = jax.eval_shape(programs.init, key)
  given = state, Metrics.zeros(), search.data, search.key, jnp.zeros(())
  return Shapes(*(arguments_on(devices, tree) for tree in given))
