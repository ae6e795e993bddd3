"""The twin of configs/s3.py without stages: plain DARTS.

python experiments/search.py --config=experiments/configs/darts_s3.py \
    --workdir=runs/darts_s3/search

Expect the time that s3.py takes; what 'small' gave is told there.
"""

import ml_collections

from opp_darts_jax.launchers.launch import sibling


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in s3.py, with all operations from the first epoch on."""
  config = sibling(__file__, 's3').get_config(part)
  if 'schedule' in config:
    config.schedule.method = 'darts'
  else:
    config.genotype = 'runs/darts_s3/search/genotype.json'
  return config
