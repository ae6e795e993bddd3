"""SDARTS-ADV on CIFAR-10 as published (Chen and Hsieh, ICML 2020), for a GPU.

  opp-darts search --config=sdarts_adv --workdir=runs/sdarts_adv/search
  opp-darts train --config=sdarts_adv:train --workdir=runs/sdarts_adv/train

Expect, from the paper, 2.61 % test error with 3.3 M weights. ':digits' and
':digits_train' are a small search on handwritten digits, for a laptop.
"""

import ml_collections

from opp_darts_jax.launchers.method_configs import method_config


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search, or the training of what it finds."""
  published = {'space': 'darts_without_none'}
  return method_config('sdarts_adv', part, published)
