"""Is a method better than another, or was it noise: tests over seeds.

Both are run with the same seeds, which make pairs: one difference a seed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Differences in numbers of a few digits that are equal are so to rounding.
_DECIMALS = 12
# A difference that chance gives less often is significant.
SIGNIFICANT = 0.05
# Up to so many pairs all signs are tried, which ties and zeros do not spoil.
_EXACT = 13


class Paired(NamedTuple):
  """A method against another.

  Attributes:
    pairs: seeds that both have.
    difference: mean of it minus the other.
    p: of Wilcoxon's signed-rank test: how often differences of random signs
      are as one-sided as these.
    effect: matched-pairs rank-biserial correlation, from -1 (always worse) over
      0 to 1 (always better): by ranks of the differences' sizes, the share of
      those above zero less that of those below.
  """

  pairs: int
  difference: float
  p: float
  effect: float


def paired(
  own: Sequence[float], other: Sequence[float], alternative: str = 'two-sided'
) -> Paired:
  """Compares two methods by numbers of which more is better.

  Seeds without a difference have no part in test and effect, as in Wilcoxon's.

  Args:
    own: of the method, a number for each seed; at least one.
    other: of the other, in the same order.
    alternative: 'two-sided', or what was expected of the method before it ran:
      'greater' or 'less'.
  """
  from scipy import stats  # Half a second to import.

  difference = np.round(np.subtract(own, other), _DECIMALS)
  sizes = difference[difference != 0]
  if not len(sizes):
    return Paired(len(difference), 0.0, 1.0, 0.0)
  p = 1.0  # One pair says nothing, whatever its sign.
  if len(sizes) > 1:
    exact = len(sizes) <= _EXACT
    method = stats.PermutationMethod() if exact else 'auto'
    found = stats.wilcoxon(sizes, alternative=alternative, method=method)
    p = float(found.pvalue)
  ranks = stats.rankdata(np.abs(sizes))
  effect = float((np.sign(sizes) * ranks).sum() / ranks.sum())
  mean = float(np.subtract(own, other).mean())
  return Paired(len(difference), mean, p, effect)


def least_p(pairs: int) -> float:
  """The smallest p that `paired` can give: all differences on one side."""
  return 2.0 ** (1 - pairs) if pairs else 1.0


def holm(values: Sequence[float]) -> list[float]:
  """The p values of several tests, for all of them together (Holm, 1979).

  The smallest of m is multiplied by m, the next by m - 1, and so on; none is
  below a smaller one's.
  """
  order = np.argsort(values, kind='stable')
  factors = len(values) - np.arange(len(values))
  raised = np.minimum(
    np.maximum.accumulate(factors * np.take(values, order)), 1
  )
  adjusted = np.empty(len(values))
  adjusted[order] = raised
  return adjusted.tolist()
