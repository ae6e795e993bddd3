"""Space S4 (noise and sep_conv_3x3) on CIFAR-10.

  python experiments/search.py --config=experiments/configs/s4.py \
    --workdir=runs/s4/search
  python experiments/train.py --config=experiments/configs/s4.py:train \
    --workdir=runs/s4/train

At the published size, for a GPU; 'small' instead of nothing, and 'small_train'
instead of 'train', is what two CPU cores can do: configs/s4.py:small.

Expect 'small' to take about as long as cifar10_small.py does.
"""

import ml_collections

from opp_darts_jax.errors import check_choice
from opp_darts_jax.launchers.launch import sibling


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in cifar10.py or, for 'small' and 'small_train', cifar10_small.py."""
  parts = ('search', 'train', 'small', 'small_train')
  check_choice('part of the config', part, parts)
  base = 'cifar10_small' if part.startswith('small') else 'cifar10'
  part = part.removeprefix('small').removeprefix('_') or 'search'
  config = sibling(__file__, base).get_config(part)
  if part == 'train':
    config.genotype = 'runs/s4/search/genotype.json'
  else:
    config.space = 's4'
  return config
