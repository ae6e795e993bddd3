"""CIFAR-100 as published for CIFAR-10: the training of a cell found there.

  opp-darts train --config=cifar100 --workdir=runs/cifar100/train

Takes the paper's cell; --config.genotype=runs/cifar10/search/genotype.json
takes one of your own. The paper gives no error for these images. It takes a
GPU, as cifar10 does.
"""

import ml_collections

from opp_darts_jax.config import DataConfig, TrainConfig
from opp_darts_jax.errors import check_choice
from opp_darts_jax.launchers.config_files import config_dict


def get_config(part: str = 'train') -> ml_collections.ConfigDict:
  """The training; the search is that of cifar10."""
  check_choice('part of the config', part, ('train',))
  return config_dict(TrainConfig(data=DataConfig(source='cifar100', cutout=16)))
