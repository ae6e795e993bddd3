"""Random search with weight sharing on CIFAR-10 (Li and Talwalkar, UAI 2019).

  opp-darts search --config=random_sharing --workdir=runs/random_sharing/search
  opp-darts train --config=random_sharing:train \
    --workdir=runs/random_sharing/train

One cell a step, for 300 epochs; the best of 100 cells at the end. ':digits' and
':digits_train' are a small search on handwritten digits, for a laptop.
"""

import ml_collections

from opp_darts_jax.launchers.method_configs import method_config


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search, or the training of what it finds."""
  published = {'epochs': 300}
  return method_config(
    'random_sharing', part, published, {'method': 'random_sharing(samples=30)'}
  )
