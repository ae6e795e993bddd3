"""What a training says before it begins: what it is given, and what it will do.

The same lines are what `--dry_run` prints.
"""

import pathlib

from opp_darts_jax.running.runs import console
from opp_darts_jax.running.runs.plan import (
  data_lines,
  lacking_lines,
  seeds_line,
  title,
)
from opp_darts_jax.running.trainings.task import TrainTask


def of_training(
  training: TrainTask,
  workdir: str | pathlib.Path | None = None,
  step: int = 0,
) -> str:
  """What a training will do, in a few lines.

  Args:
    training: it.
    workdir: of its run; None if there is none.
    step: to begin with.
  """
  config, images, model = training.config, training.images, training.model
  heads = 'with' if config.auxiliary else 'no'
  lines = [
    title('Training', workdir, step),
    *data_lines(
      images, f'{images.num_train} images to train, {images.num_test} to test'
    ),
    '  genotype',
    console.genotype_lines(model.genotype),
    f'  network   {config.layers} cells, {config.channels} channels, {heads} '
    f'auxiliary head: {training.num_weights:,} weights',
    *lacking_lines(
      model.space.lacking(model.layers, model.channels, model.imagenet),
      'the network has nothing of what was found for it',
    ),
    f'  steps     {config.epochs} epochs of {training.per_epoch} steps, batch '
    f'{config.batch_size}',
  ]
  if config.seeds:
    lines.append(seeds_line(config.seeds, 'trainings one after another'))
  return '\n'.join(lines)
