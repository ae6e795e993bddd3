"""run_search: the file that wires a search from images to a genotype."""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.data import dataset
from opp_darts_jax.data.augment import Augmentation
from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.data.split import count_batches
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.genotypes.space import SearchSpace, get_space
from opp_darts_jax.methods import architecture, progressive
from opp_darts_jax.methods.bilevel import Metrics, SearchState
from opp_darts_jax.methods.progressive import Stage
from opp_darts_jax.running import console, metrics, runs, search_records
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.runs import Run
from opp_darts_jax.running.search_programs import (
  Programs,
  SearchData,
  make_programs,
)
from opp_darts_jax.supernet.supernet import Supernet


@dataclasses.dataclass(frozen=True)
class _Search:
  """What stays the same throughout a search."""

  config: SearchConfig
  space: SearchSpace
  programs: Programs
  data: SearchData
  devices: Devices
  key: jax.Array
  per_epoch: int


def run_search(config: SearchConfig, workdir: str | pathlib.Path) -> Genotype:
  """Searches a cell, writing everything into `workdir`.

  The files: `config.json`, `metrics.jsonl`, `alphas.jsonl`, `genotype.json`,
  TensorBoard events, and checkpoints, from which the same call goes on after
  an interruption.

  Args:
    config: what to do.
    workdir: a folder; made if it is missing.

  Returns:
    The genotype of the last epoch.

  Raises:
    UserError: if the config does not fit the images, or the workdir holds a
      run of another config.
  """
  progressive.check_length(config)
  devices = Devices()
  devices.check(config.batch_size, config.accumulate)
  images = dataset.load(config.data)
  search = _prepare(config, images, devices)
  zeros = devices.copy(Metrics.zeros())
  with runs.open_run(
    workdir, config, search.per_epoch, _begin(search), zeros
  ) as run:
    alphas = run.lines('alphas.jsonl')
    halves = len(search.data.train_rows), len(search.data.val_rows)
    run.screen.say(
      search_records.plan(
        config, images, halves, search.per_epoch, workdir, run
      )
    )
    state = run.state
    stages = [Stage.from_json(stage) for stage in run.known.get('stages', [])]
    genotype = _derive(search, state)
    for epoch in range(run.epoch, config.epochs):
      if _stage_begins(config, epoch, stages):
        state, stage = _next_stage(search, state, epoch, stages, run)
        stages.append(stage)
        search_records.record_stage(stages, epoch * search.per_epoch, run)
      state, summary = _run_epoch(search, state, epoch, stages, run)
      previous, genotype = genotype, _derive(search, state)
      search_records.record_epoch(
        epoch, int(state.step), summary, genotype, run
      )
      if genotype != previous:
        run.screen.say(console.genotype_lines(genotype))
      alphas.write(search_records.alpha_record(search.space, state, epoch))
      metrics.write_json(run.folder / 'genotype.json', genotype.to_dict())
      accuracy = summary['eval_accuracy']
      run.end_epoch(state, epoch, _known(stages), accuracy)
  return genotype


def _prepare(
  config: SearchConfig, images: ImageData, devices: Devices
) -> _Search:
  space = get_space(config.space)
  rows = dataset.halves(
    images.train.labels, config.train_fraction, config.data.split_seed
  )
  per_epoch, _ = (
    count_batches(
      config.batch_size, len(part), f'images of {images.name} in {half}'
    )
    for half, part in zip(('D_train', 'D_val'), rows)
  )
  model = Supernet(
    space,
    config.nodes,
    config.layers,
    config.channels,
    images.num_classes,
    config.layout,
    config.compute,
    config.remat,
  )
  programs = make_programs(
    model,
    config,
    Augmentation.of(images, config.data),
    images.image_shape,
    jax.tree.map(jnp.asarray, space.mask(config.nodes)),
    devices,
  )
  on_device = SearchData(*devices.copy((*images.train, *rows)))
  key = devices.copy(jax.random.key(config.seed))
  return _Search(config, space, programs, on_device, devices, key, per_epoch)


def _begin(search: _Search) -> SearchState:
  """The state before the first stage."""
  key = jax.random.fold_in(search.key, 0)
  state = search.programs.init(key)
  state = progressive.without_operations(state, search.space)
  return search.devices.copy(state)


def _known(stages: list[Stage]) -> dict[str, Any]:
  """What a checkpoint has beside the state."""
  return {'stages': [stage._asdict() for stage in stages]}


def _active(stages: list[Stage]) -> list[str]:
  return [operation for stage in stages for operation in stage.entered]


def _stage_begins(
  config: SearchConfig, epoch: int, stages: list[Stage]
) -> bool:
  """Whether operations enter at this epoch, and have not done so yet."""
  if stages and stages[-1].epoch == epoch:
    return False
  return progressive.stage_begins(config, epoch, _active(stages))


def _next_stage(
  search: _Search,
  state: SearchState,
  epoch: int,
  stages: list[Stage],
  run: Run,
) -> tuple[SearchState, Stage]:
  """Chooses the operations that enter now, and grows the state by them.

  All of it follows from the state and the seed: a run that is cut off here
  begins the choice again, with the same fresh weights.
  """
  config, space = search.config, search.space
  active = _active(stages)
  key = jax.random.fold_in(jax.random.fold_in(search.key, 1), len(active))
  init_key, score_key = jax.random.split(key)
  fresh = search.programs.init(init_key)
  names = progressive.candidates(space, config.schedule, active)
  losses: dict[str, float] = {}
  if config.schedule.method == 'darts':
    entered = space.operations
  else:
    if progressive.needs_scores(config.schedule, names):
      offered = progressive.offer(state, fresh, space, names)
      for name in names:
        mask = space.mask(config.nodes, [*active, name])
        losses[name] = _score(search, offered, mask, score_key, epoch, run)
    ranked = progressive.rank(
      config.schedule, names, losses, (config.seed, len(active))
    )
    entered = progressive.entering(space, config.nodes, active, ranked)
  state = progressive.grow(state, fresh, config, active, entered)
  return search.devices.copy(state), Stage(epoch, entered, losses)


def _score(
  search: _Search,
  offered: SearchState,
  mask: Any,
  key: jax.Array,
  epoch: int,
  run: Run,
) -> float:
  """The operation loss of what this mask has, over batches of D_train."""
  batches = search.config.schedule.score_batches or search.per_epoch
  batches = min(batches, search.per_epoch)
  total = search.devices.copy(jnp.zeros(()))
  at = 0
  while at < batches:
    run.stop_if_asked(epoch * search.per_epoch)
    size = min(run.pace.size, batches - at)
    run.pace.start()
    total = search.programs.score(
      total, offered, mask, search.data, key, at, size
    )
    total.block_until_ready()
    run.pace.finish(size)
    at += size
  return float(total) / batches


def _run_epoch(
  search: _Search,
  state: SearchState,
  epoch: int,
  stages: list[Stage],
  run: Run,
) -> tuple[SearchState, dict[str, float]]:
  """All steps of an epoch.

  Returns:
    The state, and the epoch's mean training loss and accuracy, and those on
    D_val by the running averages.
  """
  starts = [stage.epoch for stage in stages]
  rate = progressive.learning_rate(search.config, epoch, starts)
  key = jax.random.fold_in(search.key, 2)

  def dispatch(
    state: SearchState, sums: Metrics, count: int
  ) -> tuple[SearchState, Metrics]:
    return search.programs.steps(state, sums, search.data, key, rate, count)

  state, means = run.steps(dispatch, state, epoch, rate, _known(stages))
  found = search.programs.evaluate(state, search.data)
  return state, {
    **means,
    'eval_loss': float(found.loss),
    'eval_accuracy': float(found.accuracy),
  }


def _derive(search: _Search, state: SearchState) -> Genotype:
  return architecture.derive_genotype(
    state.alphas, state.mask, search.space.operations, search.config.nodes
  )
