"""SDARTS-RS on CIFAR-10 as published (Chen and Hsieh, ICML 2020), for a GPU.

  opp-darts search --config=sdarts_rs --workdir=runs/sdarts_rs/search
  opp-darts train --config=sdarts_rs:train --workdir=runs/sdarts_rs/train

Expect, from the paper, 2.67 % test error with 3.4 M weights. ':digits' and
':digits_train' are a small search on handwritten digits, for a laptop.
"""

import ml_collections

from opp_darts_jax.launchers.method_configs import method_config


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search, or the training of what it finds."""
  published = {'space': 'darts_without_none'}
  return method_config('sdarts_rs', part, published)
