"""Space S3 (none, skip_connect and sep_conv_3x3) on CIFAR-10.

  python experiments/search.py --config=experiments/configs/s3.py \
    --workdir=runs/s3/search
  python experiments/train.py --config=experiments/configs/s3.py:train \
    --workdir=runs/s3/train

At the published size, for a GPU; 'small' instead of nothing, and 'small_train'
instead of 'train', is what two CPU cores can do: configs/s3.py:small.

Of 10 epochs with --config.data.max_train=2400 (3 minutes on two CPU cores)
expect skip connections in the normal cell from the fifth epoch on, 4 at the
end; plain DARTS has 4 after the first epoch and 2 at the end.
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
    config.genotype = 'runs/s3/search/genotype.json'
  else:
    config.space = 's3'
  return config
