"""The twin of s4 without stages: plain DARTS.

  opp-darts search --config=darts_s4 --workdir=runs/darts_s4/search

Expect the time that s4 takes.
"""

import ml_collections

from opp_darts_jax.launchers.config_files import plain_twin
from opp_darts_jax.launchers.configs import s4


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in s4, with all operations from the first epoch on."""
  return plain_twin(s4.get_config(part), 'darts_s4')
