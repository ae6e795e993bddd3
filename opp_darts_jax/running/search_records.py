"""What a search writes down, and shows to whoever watches it."""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.genotypes.space import SearchSpace, get_space
from opp_darts_jax.methods import architecture
from opp_darts_jax.methods.bilevel import SearchState
from opp_darts_jax.methods.progressive import Stage
from opp_darts_jax.networks.network import count_weights
from opp_darts_jax.running import console
from opp_darts_jax.running.runs import Run


def alpha_record(
  space: SearchSpace, state: SearchState, epoch: int
) -> dict[str, Any]:
  """The alphas of an epoch; null where an operation is not active."""
  alphas, mask = jax.device_get((state.alphas, state.mask))
  tables = {
    cell: np.array(
      np.where(mask[cell], alphas[cell].astype(object), None), object
    ).tolist()
    for cell in architecture.CELLS
  }
  return {
    'epoch': epoch,
    'step': int(state.step),
    'operations': space.operations,
    **tables,
  }


def record_stage(stages: Sequence[Stage], step: int, run: Run) -> None:
  """Writes and shows the stage that has just begun, the last one."""
  stage = stages[-1]
  before = [o for before in stages[:-1] for o in before.entered]
  run.writer.write(
    'stage',
    step,
    stage.epoch,
    stage=len(stages) - 1,
    losses=stage.losses,
    entered=stage.entered,
    active=[*before, *stage.entered],
  )
  run.screen.say(
    f'stage {len(stages) - 1}, epoch {stage.epoch}: enters '
    f'{", ".join(stage.entered)}, beside {", ".join(before) or "nothing yet"}'
  )
  if stage.losses:
    run.screen.say(console.loss_table(stage.losses, stage.entered))


def record_epoch(
  epoch: int,
  step: int,
  summary: dict[str, float],
  genotype: Genotype,
  run: Run,
) -> None:
  """Writes and shows what an epoch has come to."""
  run.writer.write(
    'epoch',
    step,
    epoch,
    **summary,
    skip_normal=genotype.num_skips('normal'),
    skip_reduce=genotype.num_skips('reduce'),
    genotype=genotype.to_dict(),
  )
  run.screen.progress(
    'epoch {}: loss {train_loss:.4f}, accuracy {train_accuracy:.4f}; on D_val '
    '{eval_loss:.4f}, {eval_accuracy:.4f}'.format(epoch, **summary)
  )


def plan(
  config: SearchConfig,
  images: ImageData,
  halves: tuple[int, int],
  per_epoch: int,
  workdir: str | pathlib.Path,
  run: Run,
) -> str:
  """What the run will do, in a few lines.

  Args:
    config: of the search.
    images: the data set.
    halves: how many of its images are in D_train and D_val.
    per_epoch: steps of an epoch.
    workdir: of the run.
    run: as it begins; its state has the weights of all operations.
  """
  weights = count_weights({'params': run.state.weights})
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
  height, width, channels = images.image_shape
  operations = get_space(config.space).operations
  lines = [
    f'Search in {workdir}'
    + (f', going on after step {run.step}' if run.step else ''),
    f'  device    {console.device()}',
    f'  data      {images.name}: {halves[0]} images for weights, {halves[1]} '
    f'for alphas, {height}x{width}x{channels}, {images.num_classes} classes',
    f'  space     {config.space}: {", ".join(operations)}',
    f'  supernet  {config.layers} cells, {config.nodes} nodes, '
    f'{config.channels} channels: {weights:,} weights when complete',
    f'  stages    {stages}',
    f'  steps     {config.epochs} epochs of {per_epoch} steps, batch '
    f'{config.batch_size}, {config.order} order alpha steps',
  ]
  return '\n'.join(lines)
