"""A short training on any images: a small network of a published cell.

  opp-darts train --config=short --config.data.source=PATH \
    --workdir=runs/short/train

PATH is a folder of class folders, an .npz file or the name of a tfds data set;
--config.data.image_size=32 makes one size of many, and photographs gain from
--config.data.flip=True. All numbers are ours.
"""

import ml_collections

from opp_darts_jax.config import (
  DataConfig,
  TrainConfig,
  WeightOptimizerConfig,
)
from opp_darts_jax.errors import check_choice
from opp_darts_jax.launchers.config_files import config_dict


def get_config(part: str = 'train') -> ml_collections.ConfigDict:
  """The training; there is no search."""
  check_choice('part of the config', part, ('train',))
  return config_dict(
    TrainConfig(
      channels=16,
      layers=5,
      epochs=30,
      batch_size=64,
      auxiliary=False,
      label_smoothing=0.1,
      drop_path=0.1,
      # Weights of the last few hundred steps; the run may have few thousand.
      average=0.995,
      warmup_epochs=1,
      data=DataConfig(source='digits', crop_padding=2, flip=False),
      weights=WeightOptimizerConfig(learning_rate=0.05, learning_rate_min=0.0),
    )
  )
