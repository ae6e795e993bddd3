"""Space S3 (none, skip_connect and sep_conv_3x3) on CIFAR-10.

  opp-darts search --config=s3 --workdir=runs/s3/search
  opp-darts train --config=s3:train --workdir=runs/s3/train

At the published size, for a GPU; 'small' instead of nothing, and 'small_train'
instead of 'train', is what two CPU cores can do: --config=s3:small.

Of 10 epochs with --config.data.max_train=2400 (3 minutes on two CPU cores)
expect skip connections in the normal cell from the fifth epoch on, 4 at the
end; plain DARTS has 4 after the first epoch and 2 at the end.
"""

import ml_collections

from opp_darts_jax.launchers.configs import s1


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in cifar10 or, for 'small' and 'small_train', cifar10_small."""
  return s1.on_space('s3', part)
