"""The twin of configs/digits.py without stages: plain DARTS.

python experiments/search.py --config=experiments/configs/darts_digits.py \
    --workdir=runs/darts_digits/search

Expect what digits.py gives, without the stages, in about the same time.
"""

import ml_collections

from opp_darts_jax.launchers.launch import sibling


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """As in digits.py, with all operations from the first epoch on."""
  config = sibling(__file__, 'digits').get_config(part)
  if 'schedule' in config:
    config.schedule.method = 'darts'
  else:
    config.genotype = 'runs/darts_digits/search/genotype.json'
  return config
