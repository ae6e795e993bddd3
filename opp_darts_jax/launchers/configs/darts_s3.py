"""The twin of s3 without stages: plain DARTS.

  opp-darts search --config=darts_s3 --workdir=runs/darts_s3/search

Expect the time that s3 takes; what 'small' gave is told there.
"""

import ml_collections

from opp_darts_jax.launchers.config_files import plain_twin
from opp_darts_jax.launchers.configs import s3


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in s3, with all operations from the first epoch on."""
  return plain_twin(s3.get_config(part), 'darts_s3')
