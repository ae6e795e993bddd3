"""DrNAS on CIFAR-10 as published (Chen et al., ICLR 2021), for a GPU.

  opp-darts search --config=drnas --workdir=runs/drnas/search
  opp-darts train --config=drnas:train --workdir=runs/drnas/train

Expect, from the paper, 2.46 % test error with 4.1 M weights; there, operations
see a sixth of the channels at first and a quarter later, here always a sixth.
':digits' and ':digits_train' are a small search on handwritten digits, for a
laptop.
"""

import ml_collections

from opp_darts_jax.launchers.method_configs import method_config


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search, or the training of what it finds."""
  published = {
    'space': 'darts_without_none',
    'method': 'drnas(partial=6, warmup_epochs=10, keep=4)',
    'layers': 20,
    'channels': 36,
    'weights': {'learning_rate': 0.1, 'learning_rate_min': 0.0},
    'alphas': {'learning_rate': 0.0006},
  }
  return method_config(
    'drnas',
    part,
    published,
    {'method': 'drnas(partial=2, warmup_epochs=4, keep=4)', 'channels': 16},
  )
