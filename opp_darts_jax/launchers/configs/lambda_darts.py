"""Lambda-DARTS on CIFAR-10 as published (Movahedi et al., ICLR 2023).

  opp-darts search --config=lambda_darts --workdir=runs/lambda_darts/search
  opp-darts train --config=lambda_darts:train --workdir=runs/lambda_darts/train

Expect, from the paper, 2.52 % test error with 3.5 M weights. ':digits' and
':digits_train' are a small search on handwritten digits, for a laptop.
"""

import ml_collections

from opp_darts_jax.launchers.method_configs import method_config


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search, or the training of what it finds."""
  published = {
    'space': 'darts_without_none',
    'batch_size': 96,
    'method': 'lambda_darts(strength=0.25, reach=1e-3)',
  }
  return method_config(
    'lambda_darts',
    part,
    published,
    {'method': 'lambda_darts(strength=0.25, reach=1e-3)'},
  )
