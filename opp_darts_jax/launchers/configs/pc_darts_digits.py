"""PC-DARTS on handwritten digits, alone and in the progressive schedule.

  opp-darts search --config=pc_darts_digits \
    --workdir=runs/pc_darts_digits/search
  opp-darts train --config=pc_darts_digits:train \
    --workdir=runs/pc_darts_digits/train

As in digits, but for the method and twice the channels, of which operations see
a quarter; alphas rest for the first 7 of 24 epochs, about the published share.
With ':progressive' and ':progressive_train' operations enter stage by stage.
"""

import ml_collections

from opp_darts_jax.errors import check_choice
from opp_darts_jax.launchers.configs import digits


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search, or the training of what it finds."""
  parts = ('search', 'train', 'progressive', 'progressive_train')
  check_choice('part of the config', part, parts)
  run = 'pc_darts_digits'
  if part.startswith('progressive'):
    run, part = f'{run}_progressive', part.removeprefix('progressive')
    config = digits.get_config(part.removeprefix('_') or 'search')
  else:
    config = digits.get_config(part)
    if part == 'search':
      config.schedule.name = 'plain'
  if 'schedule' in config:
    config.method = 'pc_darts(partial=4, warmup_epochs=7)'
    config.channels = 16
  else:
    config.genotype = f'runs/{run}/search/genotype.json'
  return config
