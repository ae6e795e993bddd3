"""The signs of collapse that are measured after every epoch of a search.

What they say together is a sentence of reporting/judgement.py.
"""

from collections.abc import Mapping

import jax
import numpy as np

from opp_darts_jax.config import MonitorConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods.method import Method
from opp_darts_jax.methods.signs import entropy, skip_share
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.running.searches.live import LiveSearch
from opp_darts_jax.running.searches.rank_correlation import one_hot


def check(config: MonitorConfig, method: Method) -> None:
  """Raises `UserError` if what is measured of a method says nothing."""
  if config.eigenvalue_epochs and method.sparse:
    raise UserError(
      'monitor.eigenvalue_epochs takes a loss that is smooth in the alphas; '
      f'{method.name} samples one operation an edge: leave it 0, got '
      f'{config.eigenvalue_epochs}.'
    )


def measure(
  search: LiveSearch,
  state: SearchState,
  epoch: int,
  genotype: Genotype,
  scores: Mapping[str, np.ndarray],
) -> dict[str, float]:
  """The signs after an epoch.

  Args:
    search: it.
    state: of it.
    epoch: that has ended.
    genotype: derived of it.
    scores: of it, see `scores_of`.

  Returns:
    `skip_share_KIND` and `entropy_KIND` of every kind of cell, see `skip_share`
    and `entropy`; where `config.monitor` has them measured, `derived_accuracy`
    and `eigenvalue`.
  """
  config, space = search.config, search.space
  mask = jax.device_get(state.mask)
  found: dict[str, float] = {}
  for kind in space.kinds:
    found[f'skip_share_{kind}'] = skip_share(genotype, kind)
    found[f'entropy_{kind}'] = entropy(scores[kind], mask[kind])
  if config.monitor.derived and config.evaluates(epoch):
    found['derived_accuracy'] = derived_accuracy(search, state, genotype)
  every = config.monitor.eigenvalue_epochs
  if every and (epoch + 1) % every == 0:
    found['eigenvalue'] = search.curvature(state)
  return found


def derived_accuracy(
  search: LiveSearch, state: SearchState, genotype: Genotype
) -> float:
  """The accuracy on D_val of a genotype as a part of the supernet.

  Its operations have weight 1 and all others are left out; by the statistics of
  each batch, as running averages are those of the mixture. Below the
  supernet's accuracy by what derivation loses.
  """
  space = search.space
  tables = one_hot(search.method.prepare(space), genotype)
  own = len(space.operations)
  mask = {kind: table[:, :own] > 0 for kind, table in tables.items()}
  part = state.replace(mask=search.devices.copy(mask))
  return search.accuracy(part, search.devices.copy(tables), by_batch=True)
