"""The twin of configs/s2.py without stages: plain DARTS.

python experiments/search.py --config=experiments/configs/darts_s2.py \
    --workdir=runs/darts_s2/search

Expect the time that s2.py takes; what 'small' gave is told there.
"""

import ml_collections

from opp_darts_jax.launchers.launch import sibling


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in s2.py, with all operations from the first epoch on."""
  config = sibling(__file__, 's2').get_config(part)
  if 'schedule' in config:
    config.schedule.method = 'darts'
  else:
    config.genotype = 'runs/darts_s2/search/genotype.json'
  return config
