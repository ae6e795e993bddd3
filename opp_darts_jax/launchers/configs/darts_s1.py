"""The twin of s1 without stages: plain DARTS.

  opp-darts search --config=darts_s1 --workdir=runs/darts_s1/search

Expect the time that s1 takes.
"""

import ml_collections

from opp_darts_jax.launchers.config_files import plain_twin
from opp_darts_jax.launchers.configs import s1


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in s1, with all operations from the first epoch on."""
  return plain_twin(s1.get_config(part), 'darts_s1')
