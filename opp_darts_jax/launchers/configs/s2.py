"""Space S2 (skip_connect and sep_conv_3x3) on CIFAR-10.

  opp-darts search --config=s2 --workdir=runs/s2/search
  opp-darts train --config=s2:train --workdir=runs/s2/train

At the published size, for a GPU; 'small' instead of nothing, and 'small_train'
instead of 'train', is what two CPU cores can do: --config=s2:small.

Of 10 epochs with --config.data.max_train=2400 (3 minutes on two CPU cores)
expect no skip connection in the normal cell in any epoch; plain DARTS has 3
after the first one and none later. That is too short to collapse.
"""

import ml_collections

from opp_darts_jax.launchers.configs import s1


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in cifar10 or, for 'small' and 'small_train', cifar10_small."""
  return s1.on_space('s2', part)
