"""SVHN, the 73,257 training images of house numbers without the extra ones.

  opp-darts train --config=svhn --workdir=runs/svhn/train

Takes the paper's cell, in the network published for CIFAR-10 (20 cells, 36
channels). The paper gives no error for these images. Ours are 160 epochs and
no mirrored digits; a cutout of 20 pixels is usual here. It takes a GPU, as
cifar10 does.
"""

import ml_collections

from opp_darts_jax.config import DataConfig, TrainConfig
from opp_darts_jax.errors import check_choice
from opp_darts_jax.launchers.config_files import config_dict


def get_config(part: str = 'train') -> ml_collections.ConfigDict:
  """The training; the search is that of cifar10."""
  check_choice('part of the config', part, ('train',))
  return config_dict(
    TrainConfig(
      epochs=160,
      data=DataConfig(source='svhn_cropped', flip=False, cutout=20),
    )
  )
