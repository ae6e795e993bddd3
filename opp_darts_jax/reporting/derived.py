"""The genotypes in the lines of a search's metrics."""

import json
from collections.abc import Mapping
from typing import Any

from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.memoized import memoized

_KEPT = 512  # those of all epochs of a run, which are read at every page


def genotype_of(record: Mapping[str, Any]) -> Genotype:
  """What was derived at an epoch.

  Raises:
    UserError: if the line has something else there.
  """
  return _read(json.dumps(record['genotype']))


@memoized(_KEPT)
def _read(text: str) -> Genotype:
  return Genotype.from_dict(json.loads(text))
