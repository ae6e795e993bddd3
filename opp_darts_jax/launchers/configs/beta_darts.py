"""Beta-DARTS on CIFAR-10 (Ye et al., CVPR 2022), for a GPU.

  opp-darts search --config=beta_darts --workdir=runs/beta_darts/search
  opp-darts train --config=beta_darts:train --workdir=runs/beta_darts/train

Expect, from the paper, 2.53 % test error with 3.8 M weights. In the authors'
code the factor grows by a half in each epoch; so it does here. ':digits' and
':digits_train' are a small search on handwritten digits, for a laptop.
"""

import ml_collections

from opp_darts_jax.launchers.method_configs import method_config


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search, or the training of what it finds."""
  published = {
    'space': 'darts_without_none',
    'method': 'beta_darts(strength=25.0)',
  }
  return method_config(
    'beta_darts', part, published, {'method': 'beta_darts(strength=12.0)'}
  )
