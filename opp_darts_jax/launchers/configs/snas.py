"""SNAS on CIFAR-10 (Xie et al., ICLR 2019), for a GPU.

  opp-darts search --config=snas --workdir=runs/snas/search
  opp-darts train --config=snas:train --workdir=runs/snas/train

Expect, from the paper, 2.85 % test error with 2.8 M weights. Nine tenths of the
images train weights and alphas, where the authors take all. ':digits' and
':digits_train' are a small search on handwritten digits, for a laptop.
"""

import ml_collections

from opp_darts_jax.launchers.method_configs import method_config


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search, or the training of what it finds."""
  published = {
    'epochs': 150,
    'train_fraction': 0.9,
    'alphas': {'clip_norm': 10.0},
  }
  return method_config(
    'snas',
    part,
    published,
    {
      'train_fraction': 0.9,
      'alphas': {'learning_rate': 0.003, 'clip_norm': 10.0},
    },
  )
