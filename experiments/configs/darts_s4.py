"""The twin of configs/s4.py without stages: plain DARTS.

python experiments/search.py --config=experiments/configs/darts_s4.py \
    --workdir=runs/darts_s4/search

Expect the time that s4.py takes.
"""

import ml_collections

from opp_darts_jax.launchers.launch import sibling


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in s4.py, with all operations from the first epoch on."""
  config = sibling(__file__, 's4').get_config(part)
  if 'schedule' in config:
    config.schedule.method = 'darts'
  else:
    config.genotype = 'runs/darts_s4/search/genotype.json'
  return config
