"""RobustDARTS, early stopping, on space s2 (Zela et al., ICLR 2020), for a GPU.

  opp-darts search --config=robust_darts --workdir=runs/robust_darts/search
  opp-darts train --config=robust_darts:train --workdir=runs/robust_darts/train

Expect, from the paper, 3.41 % test error as a mean. Other spaces by
--config.space, stronger regularisation by --config.weights.weight_decay.
':digits' and ':digits_train' are a small search on handwritten digits, for a
laptop.
"""

import ml_collections

from opp_darts_jax.launchers.method_configs import method_config


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search, or the training of what it finds."""
  published = {'space': 's2', 'order': 'second_fd'}
  return method_config(
    'robust_darts', part, published, {'method': 'robust_darts(first_epoch=4)'}
  )
