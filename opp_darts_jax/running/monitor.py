"""The signs of collapse that are measured after every epoch of a search.

What they say together is a sentence of reporting/judgement.py.
"""

import jax
import numpy as np

from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.running.live_search import LiveSearch
from opp_darts_jax.running.rank_correlation import one_hot


def measure(
  search: LiveSearch, state: SearchState, epoch: int, genotype: Genotype
) -> dict[str, float]:
  """The signs after an epoch.

  Args:
    search: it.
    state: of it.
    epoch: that has ended.
    genotype: derived of it.

  Returns:
    `skip_share_KIND` and `entropy_KIND` of every kind of cell, see `skip_share`
    and `entropy`; where `config.monitor` has them measured, `derived_accuracy`
    and `eigenvalue`.
  """
  config, space = search.config, search.space
  scores, mask = jax.device_get(
    (search.method.scores(space, state.alphas, state.mask), state.mask)
  )
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


def skip_share(genotype: Genotype, kind: str) -> float:
  """The share of skip connections among the edges of a derived cell."""
  return genotype.num_skips(kind) / max(len(genotype[kind].edges), 1)


def entropy(weights_EK: np.ndarray, mask_EK: np.ndarray) -> float:
  """How undecided edges are: 1 is between all operations, 0 for one of them.

  The mean, over the edges that have several active operations, of the entropy
  of these operations' weights over its greatest value, the logarithm of their
  number.

  Args:
    weights_EK: operation weights, or scores; what counts is their shares.
    mask_EK: which operations are active.

  Returns:
    It; NaN if no edge has a choice.
  """
  weights_EK = np.where(mask_EK, np.maximum(np.float64(weights_EK), 0), 0)
  sums_E1, counts_E = weights_EK.sum(1, keepdims=True), mask_EK.sum(1)
  chosen_E = (counts_E > 1) & (sums_E1[:, 0] > 0)
  if not chosen_E.any():
    return float('nan')
  shares_EK = weights_EK[chosen_E] / sums_E1[chosen_E]
  logs_EK = np.log(np.where(shares_EK > 0, shares_EK, 1))
  entropies_E = -(shares_EK * logs_EK).sum(1)
  return float((entropies_E / np.log(counts_E[chosen_E])).mean())


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
