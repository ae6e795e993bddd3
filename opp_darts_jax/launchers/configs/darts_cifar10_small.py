"""The twin of cifar10_small without stages: plain DARTS.

  opp-darts search --config=darts_cifar10_small \
    --workdir=runs/darts_cifar10_small/search

Expect, of so short a search, no collapse either: no skip connection in the
normal cell, one in the reduction cell, a test accuracy of 0.68.
"""

import ml_collections

from opp_darts_jax.launchers.config_files import plain_twin
from opp_darts_jax.launchers.configs import cifar10_small


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in cifar10_small, with all operations from the first epoch on."""
  return plain_twin(cifar10_small.get_config(part), 'darts_cifar10_small')
