"""Random cells of the space of DARTS: what any search must beat.

  opp-darts search --config=random_cells --workdir=runs/random_cells/search
  opp-darts train --config=random_cells:train --workdir=runs/random_cells/train

With several seeds, `opp-darts sweep --configs=random_cells --seeds=0,1,2,3`
trains each: the best of n. ':digits' and ':digits_train' are a small search on
handwritten digits, for a laptop.
"""

import ml_collections

from opp_darts_jax.launchers.method_configs import method_config


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search, or the training of what it finds."""
  return method_config('random_cells', part, {})
