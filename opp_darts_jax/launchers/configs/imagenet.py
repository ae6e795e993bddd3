"""ImageNet at 224 pixels in the mobile setting: the training of a cell.

  opp-darts train --config=imagenet --workdir=runs/imagenet/train

As published for DARTS: batch 128, a rate of 0.1 that falls by 3 % an epoch.
imagenet:train_linear is what later works take on several GPUs: batch 1024,
five epochs of warm-up to 0.5, then a line to zero.

Takes the paper's cell; expect, from the paper, 25.61 % top-1 and 8.15 % top-5
test error with 5.3 M weights. Its colour jitter also moves hues; ours does not.

The images stream from TFDS, tested on the validation split. TFDS prepares them
from the two archives of ILSVRC2012 that you put into its folder of manual
downloads; a folder with train/CLASS and val/CLASS does as well:
--config.data.source=PATH.
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
  """The training; with 'train_linear' in large batches."""
  check_choice('part of the config', part, ('train', 'train_linear'))
  linear = part == 'train_linear'
  return config_dict(
    TrainConfig(
      channels=48,
      layers=14,
      epochs=250,
      batch_size=1024 if linear else 128,
      imagenet=True,
      label_smoothing=0.1,
      drop_path=0.0,
      rate_schedule='linear' if linear else 'exponential',
      rate_decay=0.0 if linear else 0.97,
      warmup_epochs=5 if linear else 0,
      log_steps=100,
      data=DataConfig(
        source='imagenet2012',
        image_size=224,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        stream=True,
        workers=8,
        crop='resized',
        jitter=0.4,
      ),
      weights=WeightOptimizerConfig(
        learning_rate=0.5 if linear else 0.1,
        learning_rate_min=0.0,
        weight_decay=3e-5,
      ),
    )
  )
