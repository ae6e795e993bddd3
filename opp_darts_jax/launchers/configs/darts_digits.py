"""The twin of digits without stages: plain DARTS.

  opp-darts search --config=darts_digits --workdir=runs/darts_digits/search

Expect what digits gives, without the stages, in about the same time.
"""

import ml_collections

from opp_darts_jax.launchers.config_files import plain_twin
from opp_darts_jax.launchers.configs import digits


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in digits, with all operations from the first epoch on."""
  return plain_twin(digits.get_config(part), 'darts_digits')
