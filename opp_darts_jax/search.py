"""run_search: the file that wires a search from images to a genotype."""

import contextlib
import dataclasses
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax import (
  arch,
  console,
  data,
  loop,
  metrics,
  progressive,
  workdirs,
)
from opp_darts_jax.augment import Augmentation
from opp_darts_jax.bilevel import Metrics, SearchState
from opp_darts_jax.checkpoint import Checkpoints
from opp_darts_jax.config import SearchConfig
from opp_darts_jax.console import Console
from opp_darts_jax.data import ImageData
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotype import Genotype
from opp_darts_jax.programs import Programs, SearchData, make_programs
from opp_darts_jax.progressive import Stage
from opp_darts_jax.space import SearchSpace, get_space
from opp_darts_jax.supernet import Supernet


@dataclasses.dataclass(frozen=True)
class _Search:
  """What stays the same throughout a search."""

  config: SearchConfig
  space: SearchSpace
  programs: Programs
  data: SearchData
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
  images = data.load(config.data)
  search = _prepare(config, images)
  workdir = workdirs.open_workdir(workdir, config)
  state = _begin(search)
  stages: list[Stage] = []
  begin = 0
  with contextlib.ExitStack() as stack:
    checkpoints = stack.enter_context(Checkpoints(workdir))
    saved = checkpoints.restore(state)
    if saved is not None:
      state, begin = saved.state, saved.progress['epochs']
      stages = [Stage.from_json(stage) for stage in saved.progress['stages']]
    done = begin * search.per_epoch
    writer = stack.enter_context(metrics.MetricsWriter(workdir, begin, done))
    alphas = stack.enter_context(metrics.JsonLines(workdir / 'alphas.jsonl'))
    alphas.drop_from(begin)
    total = config.epochs * search.per_epoch
    screen = stack.enter_context(Console(total, done))
    screen.say(_plan(search, images, workdir, begin))
    genotype = _derive(search, state)
    for epoch in range(begin, config.epochs):
      active = [o for stage in stages for o in stage.entered]
      if progressive.stage_begins(config, epoch, active):
        state, stage = _next_stage(search, state, epoch, active)
        stages.append(stage)
        _record_stage(stages, epoch * search.per_epoch, writer, screen)
      starts = [stage.epoch for stage in stages]
      state, summary = _run_epoch(search, state, epoch, starts, writer, screen)
      previous, genotype = genotype, _derive(search, state)
      _record_epoch(epoch, int(state.step), summary, genotype, writer, screen)
      if genotype != previous:
        screen.say(console.genotype_lines(genotype))
      alphas.write(_alpha_record(search.space, state, epoch))
      metrics.write_json(workdir / 'genotype.json', genotype.to_dict())
      progress = [stage._asdict() for stage in stages]
      checkpoints.save(
        epoch + 1, state, {'epochs': epoch + 1, 'stages': progress}
      )
  return genotype


def _prepare(config: SearchConfig, images: ImageData) -> _Search:
  space = get_space(config.space)
  rows = data.halves(
    images.train.labels, config.train_fraction, config.data.split_seed
  )
  fewest = min(map(len, rows))
  if fewest < config.batch_size:
    raise UserError(
      f'batch_size is {config.batch_size}, but the smaller half of the '
      f'training images of {images.name} has {fewest}: a batch must fit.'
    )
  model = Supernet(
    space,
    config.nodes,
    config.layers,
    config.channels,
    images.num_classes,
    config.layout,
    config.compute,
  )
  programs = make_programs(
    model,
    config,
    Augmentation.of(images, config.data),
    images.train.images.shape[1:],
    jax.tree.map(jnp.asarray, space.mask(config.nodes)),
  )
  on_device = SearchData(*map(jnp.asarray, (*images.train, *rows)))
  key = jax.random.key(config.seed)
  per_epoch = len(rows[0]) // config.batch_size
  return _Search(config, space, programs, on_device, key, per_epoch)


def _begin(search: _Search) -> SearchState:
  """The state before the first stage."""
  key = jax.random.fold_in(search.key, 0)
  state = search.programs.init(key)
  return progressive.without_operations(state, search.space)


def _next_stage(
  search: _Search, state: SearchState, epoch: int, active: list[str]
) -> tuple[SearchState, Stage]:
  """Chooses the operations that enter now, and grows the state by them."""
  config, space = search.config, search.space
  key = jax.random.fold_in(jax.random.fold_in(search.key, 1), len(active))
  init_key, score_key = jax.random.split(key)
  fresh = search.programs.init(init_key)
  if config.schedule.method == 'darts':
    names = space.operations
    return (
      progressive.grow(state, fresh, config, active, names),
      Stage(epoch, names, {}),
    )
  names = progressive.candidates(space, config.schedule, active)
  losses: dict[str, float] = {}
  if progressive.needs_scores(config.schedule, names):
    offered = progressive.offer(state, fresh, space, names)
    batches = config.schedule.score_batches or search.per_epoch
    scores = [
      search.programs.score(
        offered,
        space.mask(config.nodes, [*active, name]),
        search.data,
        score_key,
        min(batches, search.per_epoch),
      )
      for name in names
    ]
    losses = dict(zip(names, map(float, scores)))
  ranked = progressive.rank(
    config.schedule, names, losses, (config.seed, len(active))
  )
  entered = progressive.entering(space, config.nodes, active, ranked)
  state = progressive.grow(state, fresh, config, active, entered)
  return state, Stage(epoch, entered, losses)


def _run_epoch(
  search: _Search,
  state: SearchState,
  epoch: int,
  stage_epochs: list[int],
  writer: metrics.MetricsWriter,
  screen: Console,
) -> tuple[SearchState, dict[str, float]]:
  """All steps of an epoch; metrics are read while the next chunk runs.

  Returns:
    The state, and the epoch's mean training loss and accuracy, those on D_val
    by the running averages, and how long it took.
  """
  start = time.monotonic()
  rate = progressive.learning_rate(search.config, epoch, stage_epochs)
  step_key = jax.random.fold_in(search.key, 2)

  def dispatch(state: SearchState, count: int) -> tuple[SearchState, Metrics]:
    return search.programs.steps(state, search.data, step_key, rate, count)

  def log(done: int, size: int, means: dict[str, float]) -> None:
    step = epoch * search.per_epoch + done
    writer.write('train', step, epoch, **means, learning_rate=rate)
    screen.advance(size, means)

  state, means = loop.run_epoch(
    dispatch, state, search.per_epoch, search.config.log_steps, log
  )
  found = search.programs.evaluate(state, search.data)
  return state, {
    **means,
    'eval_loss': float(found.loss),
    'eval_accuracy': float(found.accuracy),
    'seconds': round(time.monotonic() - start, 3),
  }


def _derive(search: _Search, state: SearchState) -> Genotype:
  return arch.derive_genotype(
    state.alphas, state.mask, search.space.operations, search.config.nodes
  )


def _alpha_record(
  space: SearchSpace, state: SearchState, epoch: int
) -> dict[str, Any]:
  """The alphas of an epoch; null where an operation is not active."""
  alphas, mask = jax.device_get((state.alphas, state.mask))
  tables = {
    cell: np.array(
      np.where(mask[cell], alphas[cell].astype(object), None), object
    ).tolist()
    for cell in arch.CELLS
  }
  return {
    'epoch': epoch,
    'step': int(state.step),
    'operations': space.operations,
    **tables,
  }


def _record_stage(
  stages: list[Stage],
  step: int,
  writer: metrics.MetricsWriter,
  screen: Console,
) -> None:
  stage = stages[-1]
  before = [o for stage in stages[:-1] for o in stage.entered]
  writer.write(
    'stage',
    step,
    stage.epoch,
    stage=len(stages) - 1,
    losses=stage.losses,
    entered=stage.entered,
    active=[*before, *stage.entered],
  )
  screen.say(
    f'stage {len(stages) - 1}, epoch {stage.epoch}: enters '
    f'{", ".join(stage.entered)}, beside {", ".join(before) or "nothing yet"}'
  )
  if stage.losses:
    screen.say(console.loss_table(stage.losses, stage.entered))


def _record_epoch(
  epoch: int,
  step: int,
  summary: dict[str, float],
  genotype: Genotype,
  writer: metrics.MetricsWriter,
  screen: Console,
) -> None:
  writer.write(
    'epoch',
    step,
    epoch,
    **summary,
    skip_normal=genotype.num_skips('normal'),
    skip_reduce=genotype.num_skips('reduce'),
    genotype=genotype.to_dict(),
  )
  screen.progress(
    'epoch {}: loss {train_loss:.4f}, accuracy {train_accuracy:.4f}; on D_val '
    '{eval_loss:.4f}, {eval_accuracy:.4f}'.format(epoch, **summary)
  )


def _plan(
  search: _Search, images: ImageData, workdir: pathlib.Path, begin: int
) -> str:
  """What the run will do, in a few lines."""
  config = search.config
  state = jax.eval_shape(search.programs.init, search.key)
  weights = sum(leaf.size for leaf in jax.tree.leaves(state.weights))
  schedule = config.schedule
  stages = (
    'all operations at epoch 0 (DARTS)'
    if schedule.method == 'darts'
    else f'one operation every {schedule.stage_epochs} epochs, '
    f'{schedule.selection} operation loss next, skip_connect last (OPP-DARTS)'
    if schedule.selection in ('largest', 'smallest')
    else f'one operation every {schedule.stage_epochs} epochs, '
    f'{schedule.selection} order'
  )
  height, width, channels = images.train.images.shape[1:]
  halves = len(search.data.train_rows), len(search.data.val_rows)
  lines = [
    f'Search in {workdir}'
    + (f', going on after epoch {begin - 1}' if begin else ''),
    f'  device    {console.device()}',
    f'  data      {images.name}: {halves[0]} images for weights, {halves[1]} '
    f'for alphas, {height}x{width}x{channels}, {images.num_classes} classes',
    f'  space     {config.space}: {", ".join(search.space.operations)}',
    f'  supernet  {config.layers} cells, {config.nodes} nodes, '
    f'{config.channels} channels: {weights:,} weights when complete',
    f'  stages    {stages}',
    f'  steps     {config.epochs} epochs of {search.per_epoch} steps, batch '
    f'{config.batch_size}, {config.order} order alpha steps',
  ]
  return '\n'.join(lines)
