"""Space S1 (two operations an edge, differing from edge to edge) on CIFAR-10.

  opp-darts search --config=s1 --workdir=runs/s1/search
  opp-darts train --config=s1:train --workdir=runs/s1/train

At the published size, for a GPU; 'small' instead of nothing, and 'small_train'
instead of 'train', is what two CPU cores can do: --config=s1:small.

Expect 'small' to take about as long as cifar10_small does.
"""

import ml_collections

from opp_darts_jax.errors import check_choice
from opp_darts_jax.launchers.configs import cifar10, cifar10_small


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in cifar10 or, for 'small' and 'small_train', cifar10_small."""
  return on_space('s1', part)


def on_space(space: str, part: str) -> ml_collections.ConfigDict:
  """The same for any of the small spaces, whose configs have its name."""
  parts = ('search', 'train', 'small', 'small_train')
  check_choice('part of the config', part, parts)
  base = cifar10_small if part.startswith('small') else cifar10
  part = part.removeprefix('small').removeprefix('_') or 'search'
  config = base.get_config(part)
  if part == 'train':
    config.genotype = f'runs/{space}/search/genotype.json'
  config.space = space
  return config
