"""P-DARTS on CIFAR-10 as published (Chen et al., ICCV 2019), for a GPU.

  opp-darts search --config=p_darts --workdir=runs/p_darts/search
  opp-darts train --config=p_darts:train --workdir=runs/p_darts/train

Expect, from the paper, 2.50 % test error with 3.4 M weights. ':digits' and
':digits_train' are a small search on handwritten digits, for a laptop.
"""

import ml_collections

from opp_darts_jax.launchers.method_configs import method_config


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search, or the training of what it finds."""
  published = {
    'layers': 5,
    'epochs': 75,
    'batch_size': 96,
    'weights': {'learning_rate_min': 0.0},
    'alphas': {'learning_rate': 0.0006, 'clip_norm': 5.0},
  }
  return method_config(
    'p_darts',
    part,
    published,
    {'method': 'p_darts(more_layers=(1, 2), warmup_epochs=3)', 'layers': 3},
  )
