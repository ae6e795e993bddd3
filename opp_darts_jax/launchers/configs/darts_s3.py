"""The twin of s3 without stages: plain DARTS.

  opp-darts search --config=darts_s3 --workdir=runs/darts_s3/search

Expect the time that s3 takes; what 'small' gave is told there.
"""

import ml_collections

from opp_darts_jax.launchers.configs import s3


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in s3, with all operations from the first epoch on."""
  config = s3.get_config(part)
  if 'schedule' in config:
    config.schedule.name = 'plain'
  else:
    config.genotype = 'runs/darts_s3/search/genotype.json'
  return config
