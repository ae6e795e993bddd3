"""FairDARTS on CIFAR-10 as published (Chu et al., ECCV 2020), for a GPU.

  opp-darts search --config=fair_darts --workdir=runs/fair_darts/search
  opp-darts train --config=fair_darts:train --workdir=runs/fair_darts/train

Expect, from the paper, 2.54 % test error with 3.3 M weights. ':digits' and
':digits_train' are a small search on handwritten digits, for a laptop.
"""

import ml_collections

from opp_darts_jax.launchers.method_configs import method_config


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search, or the training of what it finds."""
  published = {
    'space': 'darts_without_none',
    'batch_size': 128,
    'weights': {'learning_rate': 0.005},
    'alphas': {'learning_rate': 0.003, 'b1': 0.9},
  }
  return method_config(
    'fair_darts',
    part,
    published,
    {'alphas': {'learning_rate': 0.03, 'b1': 0.9}},
  )
