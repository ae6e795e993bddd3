"""OLES on CIFAR-10 as published (Jiang et al., NeurIPS 2023), for a GPU.

  opp-darts search --config=oles --workdir=runs/oles/search
  opp-darts train --config=oles:train --workdir=runs/oles/train

Expect, from the paper, 2.41 % test error. ':digits' and ':digits_train' are a
small search on handwritten digits, for a laptop.
"""

import ml_collections

from opp_darts_jax.launchers.method_configs import method_config


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search, or the training of what it finds."""
  return method_config('oles', part, {})
