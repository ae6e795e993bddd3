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
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods.catalogue import configured_method
from opp_darts_jax.methods.method import Method
from opp_darts_jax.methods.stages import Stage
from opp_darts_jax.methods.state import Metrics, SearchState
from opp_darts_jax.networks.network import count_weights
from opp_darts_jax.running import callbacks, console, runs
from opp_darts_jax.running.callbacks import OnEpoch
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.live_search import LiveSearch, prepare
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
) -> Genotype:
  """Searches a cell, writing everything into `workdir`.

  The files: `config.json`, `space.json`, `metrics.jsonl`, `alphas.jsonl`,
  `genotype.json`, TensorBoard events, and checkpoints, from which the same call
  goes on after an interruption.

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

  Returns:
    The genotype of the last epoch.

  Raises:
    UserError: if the config does not fit the images, the space or the method,
      or the workdir holds a run of another config.
  """
  if space is not None:
    config = dataclasses.replace(config, space=space.name)
    space = space.with_nodes(config.nodes)
  else:
    space = get_space(config.space, config.nodes)
  if method is not None:
    config = dataclasses.replace(config, method=method.name)
  else:
    method = configured_method(config)
  method.check(config, space)
  devices = Devices()
  devices.check(config.batch_size, config.accumulate)
  images = dataset.load(config.data) if data is None else data
  search = prepare(config, space, method, images, devices)
  zeros = devices.copy(Metrics.zeros())

  def begin(known: Mapping[str, Any]) -> SearchState:
    nonlocal search
    search = search.resized(**known.get('size', {}))
    return search.begin()

  with runs.open_run(
    workdir, config, search.per_epoch, begin, zeros, signals, quiet
  ) as run:
    search.run = run
    files.write_json(run.folder / 'space.json', space.describe())
    own = [on_epoch] if callable(on_epoch) else list(on_epoch)
    watchers = [*callbacks.built_in(run, space), *own]
    run.screen.say(_plan(search, images, workdir))
    return _run_epochs(search, watchers)


def _run_epochs(search: LiveSearch, watchers: Sequence[OnEpoch]) -> Genotype:
  """All epochs that are left, or up to where a method or watcher ends them."""
  config, method, run = search.config, search.method, search.run
  state, known = run.state, run.known
  stages = [Stage.from_json(stage) for stage in known.get('stages', [])]
  for epoch in range(run.epoch, config.epochs):
    if 'stopped' in known:
      break
    if not run.within(epoch):
      change = method.begin_epoch(search, state, epoch, stages)
      state = search.devices.copy(change.state)
      if isinstance(change.search, LiveSearch):
        search = change.search
      if change.stop:
        return _end(search, state, epoch)
      if change.stage is not None:
        stages.append(change.stage)
        callbacks.record_stage(stages, epoch * search.per_epoch, run)
    known = {
      'stages': [stage._asdict() for stage in stages],
      'size': search.size,
    }
    state, means = _run_epoch(search, state, epoch, stages, known)
    genotype = method.derive(method, search, state)
    record = callbacks.record_of(
      config.epochs, epoch, state, means, genotype, stages, run.folder
    )
    # All are called, whichever asks for the end.
    answers = [watcher(record) for watcher in watchers]
    if True in answers:
      known['stopped'] = epoch
      run.writer.write('stop', record.step, epoch)
    run.end_epoch(state, epoch, known, means['eval_accuracy'])
  return method.derive(method, search, state)


def _end(search: LiveSearch, state: SearchState, epoch: int) -> Genotype:
  """What a search has found that its method ends before an epoch.

  Nothing is saved: the same call again asks the method again.
  """
  found = search.method.derive(search.method, search, state)
  step, fields = epoch * search.per_epoch, found.to_dict()
  search.run.writer.write('stop', step, epoch, genotype=fields)
  files.write_json(search.run.folder / 'genotype.json', fields)
  return found


def _run_epoch(
  search: LiveSearch,
  state: SearchState,
  epoch: int,
  stages: Sequence[Stage],
  known: Mapping[str, Any],
) -> tuple[SearchState, dict[str, float]]:
  """All steps of an epoch.

  Returns:
    The state, and the epoch's mean training loss and accuracy, and those on
    D_val by the running averages.
  """
  starts = [stage.epoch for stage in stages]
  rate = search.method.learning_rate(search.config, epoch, starts)
  key = jax.random.fold_in(search.key, 2)

  def dispatch(
    state: SearchState, sums: Metrics, count: int
  ) -> tuple[SearchState, Metrics]:
    return search.programs.steps(state, sums, search.data, key, rate, count)

  state, means = search.run.steps(dispatch, state, epoch, rate, known)
  found = search.programs.evaluate(state, search.data)
  return state, {
    **means,
    'eval_loss': float(found.loss),
    'eval_accuracy': float(found.accuracy),
  }


def _plan(
  search: LiveSearch, images: ImageData, workdir: str | pathlib.Path
) -> str:
  """What the run will do, in a few lines."""
  config, space, run = search.config, search.space, search.run
  # The state has the weights of all operations, whichever have entered.
  weights = count_weights({'params': run.state.weights})
  halves = len(search.data.train_rows), len(search.data.val_rows)
  height, width, channels = images.image_shape
  lines = [
    f'Search in {workdir}'
    + (f', going on after step {run.step}' if run.step else ''),
    f'  device    {console.device()}',
    f'  data      {images.name}: {halves[0]} images for weights, {halves[1]} '
    f'for alphas, {height}x{width}x{channels}, {images.num_classes} classes',
    f'  space     {config.space}: {", ".join(space.names)}',
    f'  supernet  {config.layers} cells, {space.graph.nodes} nodes, '
    f'{config.channels} channels: {weights:,} weights when complete',
    f'  method    {search.method.name}',
    f'  stages    {search.method.summary}',
    f'  steps     {config.epochs} epochs of {search.per_epoch} steps, batch '
    f'{config.batch_size}, {config.order} order alpha steps',
  ]
  return '\n'.join(lines)
