"""The twin of s1 without stages: plain DARTS.

  opp-darts search --config=darts_s1 --workdir=runs/darts_s1/search

Expect the time that s1 takes.
"""

import ml_collections

from opp_darts_jax.launchers.configs import s1


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in s1, with all operations from the first epoch on."""
  config = s1.get_config(part)
  if 'schedule' in config:
    config.schedule.name = 'plain'
  else:
    config.genotype = 'runs/darts_s1/search/genotype.json'
  return config
