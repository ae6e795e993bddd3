"""The twin of s4 without stages: plain DARTS.

  opp-darts search --config=darts_s4 --workdir=runs/darts_s4/search

Expect the time that s4 takes.
"""

import ml_collections

from opp_darts_jax.launchers.configs import s4


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in s4, with all operations from the first epoch on."""
  config = s4.get_config(part)
  if 'schedule' in config:
    config.schedule.name = 'plain'
  else:
    config.genotype = 'runs/darts_s4/search/genotype.json'
  return config
