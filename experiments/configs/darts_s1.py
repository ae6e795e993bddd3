"""The twin of configs/s1.py without stages: plain DARTS.

python experiments/search.py --config=experiments/configs/darts_s1.py \
    --workdir=runs/darts_s1/search

Expect the time that s1.py takes.
"""

import ml_collections

from opp_darts_jax.launchers.launch import sibling


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in s1.py, with all operations from the first epoch on."""
  config = sibling(__file__, 's1').get_config(part)
  if 'schedule' in config:
    config.schedule.method = 'darts'
  else:
    config.genotype = 'runs/darts_s1/search/genotype.json'
  return config
