"""The twin of s2 without stages: plain DARTS.

  opp-darts search --config=darts_s2 --workdir=runs/darts_s2/search

Expect the time that s2 takes; what 'small' gave is told there.
"""

import ml_collections

from opp_darts_jax.launchers.config_files import plain_twin
from opp_darts_jax.launchers.configs import s2


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in s2, with all operations from the first epoch on."""
  return plain_twin(s2.get_config(part), 'darts_s2')
