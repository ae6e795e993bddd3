"""The twin of configs/cifar10_small.py without stages: plain DARTS.

python experiments/search.py --config=experiments/configs/darts_cifar10_small.py \
    --workdir=runs/darts_cifar10_small/search

Expect, of so short a search, no collapse either: no skip connection in the
normal cell, one in the reduction cell, a test accuracy of 0.68.
"""

import ml_collections

from opp_darts_jax.launchers.launch import sibling


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in cifar10_small.py, with all operations from the first epoch on."""
  config = sibling(__file__, 'cifar10_small').get_config(part)
  if 'schedule' in config:
    config.schedule.method = 'darts'
  else:
    config.genotype = 'runs/darts_cifar10_small/search/genotype.json'
  return config
