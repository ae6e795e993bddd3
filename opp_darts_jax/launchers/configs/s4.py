"""Space S4 (noise and sep_conv_3x3) on CIFAR-10.

  opp-darts search --config=s4 --workdir=runs/s4/search
  opp-darts train --config=s4:train --workdir=runs/s4/train

At the published size, for a GPU; 'small' instead of nothing, and 'small_train'
instead of 'train', is what two CPU cores can do: --config=s4:small.

Expect 'small' to take about as long as cifar10_small does.
"""

import ml_collections

from opp_darts_jax.launchers.configs import s1


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in cifar10 or, for 'small' and 'small_train', cifar10_small."""
  return s1.on_space('s4', part)
