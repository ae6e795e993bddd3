"""GDAS on CIFAR-10 as published (Dong and Yang, CVPR 2019), for a GPU.

  opp-darts search --config=gdas --workdir=runs/gdas/search
  opp-darts train --config=gdas:train --workdir=runs/gdas/train

Expect, from the paper, 2.93 % test error with 3.4 M weights. ':digits' and
':digits_train' are a small search on handwritten digits, for a laptop.
"""

import ml_collections

from opp_darts_jax.launchers.method_configs import method_config


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search, or the training of what it finds."""
  published = {
    'layers': 6,
    'epochs': 250,
    'batch_size': 256,
    'weights': {'weight_decay': 0.0005, 'nesterov': True},
  }
  return method_config('gdas', part, published, {'weights': {'nesterov': True}})
