"""NAS-Bench-201's space on CIFAR-10, by the benchmark authors' settings.

  opp-darts search --config=nasbench201 --workdir=runs/nasbench201/search
  opp-darts train --config=nasbench201:train --workdir=runs/nasbench201/train

15 cells of 16 channels at first, for a GPU; operations enter stage by stage,
and with --config.schedule.name=plain all at once, as in DARTS. ':digits' and
':digits_train' are a small search on handwritten digits, for a laptop.
"""

import ml_collections

from opp_darts_jax.config import (
  DataConfig,
  ScheduleConfig,
  SearchConfig,
  TrainConfig,
  WeightOptimizerConfig,
)
from opp_darts_jax.errors import check_choice
from opp_darts_jax.launchers.config_files import config_dict
from opp_darts_jax.launchers.configs import digits as digits_config


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search, or the training of the cell that it finds."""
  parts = ('search', 'train', 'digits', 'digits_train')
  check_choice('part of the config', part, parts)
  if part.startswith('digits'):
    return _on_digits(part.removeprefix('digits').removeprefix('_'))
  data = DataConfig(source='cifar10')
  if part == 'train':
    return config_dict(
      TrainConfig(
        space='nasbench201',
        genotype='runs/nasbench201/search/genotype.json',
        layers=15,
        channels=16,
        epochs=200,
        batch_size=256,
        auxiliary=False,
        drop_path=0.0,
        data=data,
        weights=WeightOptimizerConfig(
          learning_rate=0.1,
          learning_rate_min=0.0,
          weight_decay=5e-4,
          nesterov=True,
        ),
      )
    )
  return config_dict(
    SearchConfig(
      space='nasbench201',
      layers=15,
      channels=16,
      epochs=50,
      batch_size=64,
      data=data,
      weights=WeightOptimizerConfig(weight_decay=5e-4, nesterov=True),
      schedule=ScheduleConfig(stage_epochs=2),
    )
  )


def _on_digits(part: str) -> ml_collections.ConfigDict:
  """As in digits, with this space's cells: three of 8 channels at first."""
  config = digits_config.get_config(part or 'search')
  config.space = 'nasbench201'
  config.layers = 3
  if part:
    config.genotype = 'runs/nasbench201_digits/search/genotype.json'
  return config
