"""Signs of collapse, as numbers of what a search has: no JAX.

Axes: E edges of a cell, K operations of the space.
"""

from collections.abc import Sequence

import numpy as np

from opp_darts_jax.genotypes.genotype import Genotype

# RobustDARTS (Zela et al., ICLR 2020, section 5.1).
WINDOW = 5  # Measures that are averaged,
APART = 4  # and between the two averages that are compared.


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


def growth_of(measures: np.ndarray | Sequence[float]) -> float:
  """The last average of eigenvalues over that of `APART` measures before.

  Args:
    measures: the last ones; at least `WINDOW` + `APART`.
  """
  own = np.asarray(measures)[-WINDOW - APART :]
  return float(own[-WINDOW:].mean() / own[:WINDOW].mean())
