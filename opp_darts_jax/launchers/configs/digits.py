"""Handwritten digits: 1,797 real 8x8 images that come with scikit-learn.

  opp-darts search --config=digits --workdir=runs/digits/search
  opp-darts train --config=digits:train --workdir=runs/digits/train

Expect a test accuracy of 0.99 to 1 and no skip connection in the cells. On two
CPU cores both take two to four minutes together, compiling included.
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
  # A mirrored digit is another digit, and 8 pixels leave little to crop.
  data = DataConfig(source='digits', crop_padding=1, flip=False)
  check_choice('part of the config', part, ('search', 'train'))
  if part == 'train':
    return config_dict(
      TrainConfig(
        genotype='runs/digits/search/genotype.json',
        channels=16,
        layers=5,
        epochs=25,
        batch_size=64,
        auxiliary=False,
        drop_path=0.1,
        log_steps=22,
        data=data,
        weights=WeightOptimizerConfig(
          learning_rate=0.05, learning_rate_min=0.0
        ),
      )
    )
  return config_dict(
    SearchConfig(
      layers=5,
      channels=8,
      epochs=24,
      batch_size=64,
      log_steps=11,
      data=data,
      # A hundredth of the published number of steps: alphas move faster.
      alphas=AlphaOptimizerConfig(learning_rate=3e-3),
      schedule=ScheduleConfig(stage_epochs=2),
    )
  )
