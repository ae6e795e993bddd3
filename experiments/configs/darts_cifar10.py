"""The twin of configs/cifar10.py without stages: plain DARTS.

python experiments/search.py --config=experiments/configs/darts_cifar10.py \
    --workdir=runs/darts_cifar10/search

Expect the time that cifar10.py takes.
"""

import ml_collections

from opp_darts_jax.launchers.launch import sibling


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in cifar10.py, with all operations from the first epoch on."""
  config = sibling(__file__, 'cifar10').get_config(part)
  if 'schedule' in config:
    config.schedule.method = 'darts'
  else:
    config.genotype = 'runs/darts_cifar10/search/genotype.json'
  return config
