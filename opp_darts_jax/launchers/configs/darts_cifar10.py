"""The twin of cifar10 without stages: plain DARTS.

  opp-darts search --config=darts_cifar10 --workdir=runs/darts_cifar10/search

Expect the time that cifar10 takes.
"""

import ml_collections

from opp_darts_jax.launchers.config_files import plain_twin
from opp_darts_jax.launchers.configs import cifar10


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in cifar10, with all operations from the first epoch on."""
  return plain_twin(cifar10.get_config(part), 'darts_cifar10')
