"""DARTS- on CIFAR-10 as published (Chu et al., ICLR 2021), for a GPU.

  opp-darts search --config=darts_minus --workdir=runs/darts_minus/search
  opp-darts train --config=darts_minus:train --workdir=runs/darts_minus/train

Expect, from the paper, 2.59 % test error with 3.5 M weights. ':digits' and
':digits_train' are a small search on handwritten digits, for a laptop.
"""

import ml_collections

from opp_darts_jax.launchers.method_configs import method_config


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search, or the training of what it finds."""
  return method_config('darts_minus', part, {})
