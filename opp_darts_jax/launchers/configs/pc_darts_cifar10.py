"""PC-DARTS on CIFAR-10 as published (Xu et al., ICLR 2020), for a GPU.

  opp-darts search --config=pc_darts_cifar10 \
    --workdir=runs/pc_darts_cifar10/search
  opp-darts train --config=pc_darts_cifar10:train \
    --workdir=runs/pc_darts_cifar10/train

Expect, from the paper, 2.57 % test error with 3.6 M weights.
"""

import ml_collections

from opp_darts_jax.launchers.configs import cifar10


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in cifar10, with larger batches and the rates of PC-DARTS."""
  config = cifar10.get_config(part)
  if 'schedule' in config:
    config.method = 'pc_darts(partial=4, warmup_epochs=15)'
    config.schedule.name = 'plain'
    config.batch_size = 256
    config.weights.learning_rate = 0.1
    config.weights.learning_rate_min = 0.0
    config.alphas.learning_rate = 6e-4
  else:
    config.genotype = 'runs/pc_darts_cifar10/search/genotype.json'
  return config
