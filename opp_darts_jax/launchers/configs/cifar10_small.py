"""A part of CIFAR-10, small enough for two CPU cores.

  opp-darts search --config=cifar10_small --workdir=runs/cifar10_small/search
  opp-darts train --config=cifar10_small:train \
    --workdir=runs/cifar10_small/train

Expect an accuracy of the supernet on D_val of 0.51, no skip connection in the
normal cell, and a test accuracy of the found network of 0.68. On two CPU cores:
15 to 20 minutes of search and 8 of training by XLA's kernels alone.
"""

import ml_collections

from opp_darts_jax.config import (
  AlphaOptimizerConfig,
  DataConfig,
  ScheduleConfig,
  SearchConfig,
  TrainConfig,
  WeightOptimizerConfig,
)
from opp_darts_jax.errors import check_choice
from opp_darts_jax.launchers.config_files import config_dict


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search; with ':train', the training of the cell that it finds."""
  check_choice('part of the config', part, ('search', 'train'))
  if part == 'train':
    return config_dict(
      TrainConfig(
        genotype='runs/cifar10_small/search/genotype.json',
        channels=12,
        layers=5,
        epochs=12,
        batch_size=64,
        auxiliary=False,
        drop_path=0.0,
        log_steps=26,
        data=DataConfig(source='cifar10', max_train=5000, max_test=2000),
        weights=WeightOptimizerConfig(
          learning_rate=0.05, learning_rate_min=0.0
        ),
      )
    )
  return config_dict(
    SearchConfig(
      layers=4,
      channels=8,
      epochs=14,
      batch_size=32,
      log_steps=31,
      data=DataConfig(source='cifar10', max_train=4000, max_test=2000),
      # A twentieth of the published number of steps: alphas must move faster.
      alphas=AlphaOptimizerConfig(learning_rate=3e-3),
      schedule=ScheduleConfig(stage_epochs=1, score_batches=16),
    )
  )
