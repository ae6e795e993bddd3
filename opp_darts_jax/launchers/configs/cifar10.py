"""CIFAR-10 as published: 50 epochs of search, 600 epochs of training.

  opp-darts search --config=cifar10 --workdir=runs/cifar10/search
  opp-darts train --config=cifar10:train --workdir=runs/cifar10/train

Expect, from the paper, 2.63 +- 0.27 % test error with 3.8 M weights. It takes a
GPU: two CPU cores would need weeks; cifar10_small is for those.
"""

import ml_collections

from opp_darts_jax.config import DataConfig, SearchConfig, TrainConfig
from opp_darts_jax.errors import check_choice
from opp_darts_jax.launchers.config_files import config_dict


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search; with ':train', the training of the cell that it finds."""
  check_choice('part of the config', part, ('search', 'train'))
  if part == 'train':
    return config_dict(
      TrainConfig(
        genotype='runs/cifar10/search/genotype.json',
        data=DataConfig(source='cifar10', cutout=16),
      )
    )
  return config_dict(SearchConfig(data=DataConfig(source='cifar10')))
