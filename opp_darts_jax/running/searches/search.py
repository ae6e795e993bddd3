"""run_search: the file that wires a search from images to a genotype."""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax

from opp_darts_jax import files
from opp_darts_jax.config import SearchConfig
from opp_darts_jax.data import dataset
from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods import answers
from opp_darts_jax.methods.catalogue import configured_method
from opp_darts_jax.methods.check import check_hooks
from opp_darts_jax.methods.method import Method, scores_of
from opp_darts_jax.methods.stages import Stage
from opp_darts_jax.methods.state import Metrics, SearchState
from opp_darts_jax.recorded import GENOTYPE, SPACE
from opp_darts_jax.running.devices import Devices, any_process, devices_for
from opp_darts_jax.running.runs.plan import say_finished
from opp_darts_jax.running.runs.profiler import Steps
from opp_darts_jax.running.runs.run import Options, open_run
from opp_darts_jax.running.runs.standing import View
from opp_darts_jax.running.runs.watchers import ends, tell, watchers_of
from opp_darts_jax.running.searches import (
  cost,
  monitor,
  plan,
  rank_correlation,
  records,
)
from opp_darts_jax.running.searches.live import LiveSearch, prepare
from opp_darts_jax.running.searches.records import OnEpoch
from opp_darts_jax.running.searches.results import write_results
from opp_darts_jax.running.workdirs import inputs, results
from opp_darts_jax.running.workdirs.workdir import check_workdir
from opp_darts_jax.spaces.catalogue import get_space
from opp_darts_jax.spaces.space import Space


def run_search(
  config: SearchConfig,
  workdir: str | pathlib.Path,
  *,
  data: ImageData | None = None,
  space: Space | None = None,
  method: Method | None = None,
  on_epoch: OnEpoch | Iterable[OnEpoch] = (),
  signals: bool = True,
  quiet: bool = False,
  profile_steps: Steps | None = None,
  view: View | None = None,
) -> Genotype:
  """Searches a cell, writing everything into `workdir`.

  The files: `config.json`, `inputs.json`, `space.json`, `metrics.jsonl`,
  `alphas.jsonl`, `genotype.json`, at the end `results.json`, TensorBoard
  events, and checkpoints, from which the same call goes on after an
  interruption. Once it has finished, the same call writes nothing.

  Args:
    config: what to do.
    workdir: a folder; made if it is missing.
    data: the images; None reads those that the config names.
    space: None takes the one that the config names; with its `nodes` either.
    method: with its schedule around it; None takes those of the config.
    on_epoch: called with an `EpochRecord` after each epoch; what returns True
      ends the search there.
    signals: whether SIGTERM and SIGINT save the run before they end it.
    quiet: whether nothing is printed.
    profile_steps: the first and the last step, counted from 1, of which a trace
      is made, in `profile/`; None makes none.
    view: what a terminal shows of it, beside a bar; see runs/console.py.

  Returns:
    The genotype that was found.

  Raises:
    UserError: if the config does not fit the images, the space or the method,
      or the workdir holds a run of another config or of other inputs.
  """
  if config.search_seeds:
    raise UserError(
      'run_search searches with one seed, config.seed; with several, '
      f'search_seeds={config.search_seeds}, run_searches does '
      '(opp_darts_jax/running/searches/seeds.py), as `opp-darts search`.'
    )
  watchers = watchers_of(on_epoch)
  config, space, method, devices = checked(config, space, method)
  check_workdir(workdir, config)
  images = dataset.load(config.data) if data is None else data
  method = cost.held(config, space, method, images)
  made_of = inputs.of_search(images, space, method)
  if not check_workdir(workdir, config, made_of):
    monitor.check(config.monitor, method)
  found = results.finished(workdir, GENOTYPE)
  if found:
    say_finished(workdir, found, quiet)
    return Genotype.from_dict(found['genotype'])
  search = prepare(config, space, method, images, devices)
  options = Options(signals, quiet, profile_steps, view)
  return run_prepared(search, workdir, made_of, watchers, options)


def run_prepared(
  search: LiveSearch,
  workdir: str | pathlib.Path,
  made_of: Mapping[str, Any],
  watchers: Sequence[OnEpoch],
  options: Options,
) -> Genotype:
  """Runs a search that `prepare` has made, or what is left of it.

  Args:
    search: it.
    workdir: a folder; made if it is missing.
    made_of: what `inputs.of_search` says.
    watchers: called after each epoch, as `on_epoch` of `run_search`.
    options: of its run.

  Returns:
    The genotype that was found.
  """

  def of_size(known: Mapping[str, Any]) -> LiveSearch:
    return search.resized(**known.get('size', {}))

  with open_run(
    workdir,
    search.config,
    search.per_epoch,
    lambda known: of_size(known).begin(),
    search.devices.copy(Metrics.zeros()),
    options,
    made_of,
  ) as run:
    own = of_size(run.known)
    own.run = run
    _write_space(own)
    if options.shared is None:
      run.screen.say(plan.of_search(own, workdir))
    built_in = records.built_in(run, own.space)
    return _run_epochs(own, [*built_in, *watchers])


def checked(
  config: SearchConfig, space: Space | None, method: Method | None
) -> tuple[SearchConfig, Space, Method, Devices]:
  """What a search is of, and the config that says so.

  Args:
    config: of it.
    space: None takes the one that the config names.
    method: likewise; one that is given brings its own schedule, or none.

  Raises:
    UserError: if these, or the devices, do not fit each other.
  """
  if space is not None:
    config = dataclasses.replace(config, space=space.name)
    space = space.with_nodes(config.nodes)
  else:
    space = get_space(config.space, config.nodes)
  if method is not None:
    # The config says by which schedule it searches, too: the method's own.
    plain = dataclasses.replace(config.schedule, name='plain')
    schedule = method.schedule or plain
    config = dataclasses.replace(config, method=method.name, schedule=schedule)
  else:
    method = configured_method(config)
  check_hooks(method)
  method.check(config, space)
  rank_correlation.check(space, config.truth_cells)
  devices = devices_for(config)
  return config, space, method, devices


def _write_space(search: LiveSearch) -> None:
  """What reports know of the space, and how many cells the supernet has."""
  size = search.config.layers, search.config.channels
  known = search.space.describe() | {'cells': search.space.cells(*size)}
  files.write_json(search.run.folder / SPACE, known)


def _run_epochs(search: LiveSearch, watchers: Sequence[OnEpoch]) -> Genotype:
  """All epochs that are left, or up to where a method or watcher ends them."""
  config, method, run = search.config, search.method, search.run
  state, known = run.state, run.known
  stages = [Stage.from_json(stage) for stage in known.get('stages', [])]
  genotype = None
  for epoch in range(run.epoch, config.epochs):
    if 'stopped' in known:
      break
    if not run.within(epoch):
      trained = state
      with run.timed(epoch):
        change = answers.begun(method, search, state, epoch, stages)
        state = search.devices.copy(change.state)
      if isinstance(change.search, LiveSearch):
        search = change.search
        _write_space(search)
      if change.stop:
        run.writer.write('stop', epoch * search.per_epoch, epoch)
        return write_results(search, state, 'the method', trained)
      if change.stage is not None:
        stages.append(change.stage)
        records.record_stage(stages, epoch * search.per_epoch, run)
    known = {
      'stages': [stage._asdict() for stage in stages],
      'size': search.size,
    }
    state, means = _run_epoch(search, state, epoch, stages, known)
    genotype = answers.derived(method, search, state)
    means = {**means, **answers.told(method, search, state, genotype)}
    with run.timed(epoch, 'monitor'):
      scores = scores_of(method, search.space, state)
      means |= monitor.measure(search, state, epoch, genotype, scores)
    weights = records.own_weights(search.space, state, scores)
    record = records.record_of(
      config.epochs, epoch, state, means, genotype, stages, run.folder, weights
    )
    # All are called, whichever asks for the end.
    asked = [tell(watcher, record) for watcher in watchers]
    if any_process(any(map(ends, asked))):
      known['stopped'] = epoch
      run.writer.write('stop', record.step, epoch)
    run.end_epoch(state, epoch, known)
  ended = 'a watcher' if 'stopped' in known else 'all epochs'
  return write_results(search, state, ended, state, genotype)


def _run_epoch(
  search: LiveSearch,
  state: SearchState,
  epoch: int,
  stages: Sequence[Stage],
  known: Mapping[str, Any],
) -> tuple[SearchState, dict[str, float]]:
  """All steps of an epoch.

  Returns:
    The state, and the epoch's mean training loss and accuracy; if it ends with
    an evaluation, those on D_val too.
  """
  starts = [stage.epoch for stage in stages]
  rate = answers.rate(search.method, search.config, epoch, starts)
  key = jax.random.fold_in(search.key, 2)

  def dispatch(
    state: SearchState, sums: Metrics, count: int
  ) -> tuple[SearchState, Metrics]:
    return search.programs.steps(state, sums, search.data, key, rate, count)

  state, means = search.run.steps(dispatch, state, epoch, rate, known)
  if search.config.evaluates(epoch):
    with search.run.timed(epoch):
      means = means | search.evaluate(state)
  return state, means
