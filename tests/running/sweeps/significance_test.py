"""Tests over seeds, by numbers that are known."""

import itertools

import numpy as np
import pytest
from scipy import stats

from opp_darts_jax.running.sweeps.significance import holm, least_p, paired


def test_always_better():
  found = paired([0.5, 0.7, 0.6], [0.4, 0.5, 0.3])
  assert found.pairs == 3
  assert found.difference == pytest.approx(0.2)
  # Of the eight signs two are as one-sided.
  assert found.p == pytest.approx(0.25)
  assert found.effect == 1
  worse = paired([0.4, 0.5, 0.3], [0.5, 0.7, 0.6])
  assert worse.effect == -1
  assert worse.p == found.p


def test_p_without_ties_is_that_of_the_exact_distribution():
  rng = np.random.default_rng(0)
  for count in (4, 7, 10):
    own, other = rng.normal(size=(2, count))
    want = stats.wilcoxon(own, other, method='exact')
    assert paired(own, other).p == pytest.approx(want.pvalue)


def test_ties_and_zeros_by_trying_all_signs():
  own, other = [0.3, 0.3, 0.1, 0.5, 0.2], [0.2, 0.2, 0.2, 0.3, 0.2]
  found = paired(own, other)
  ranks = np.array([2, 2, 2, 4])  # Of 0.1, 0.1, -0.1 and 0.2.
  above = ranks @ [1, 1, 0, 1]
  sums = np.array(
    [ranks @ signs for signs in itertools.product((0, 1), repeat=4)]
  )
  assert found.p == pytest.approx(2 * (sums >= above).mean())
  assert found.effect == pytest.approx((2 + 2 - 2 + 4) / 10)
  assert found.pairs == 5


def test_without_a_difference_there_is_none():
  assert paired([0.5, 0.6], [0.5, 0.6]) == (2, 0, 1, 0)
  # 0.3 - 0.2 and 0.2 - 0.1 differ in their last bit.
  found = paired([0.3, 0.1], [0.2, 0.2])
  assert found.effect == 0


def test_a_single_seed_says_nothing():
  found = paired([0.9], [0.1])
  assert found.p == least_p(1) == 1


@pytest.mark.parametrize(('pairs', 'least'), [(3, 0.25), (5, 0.0625)])
def test_smallest_p(pairs, least):
  assert least_p(pairs) == least
  found = paired(range(1, pairs + 1), [0] * pairs)
  assert found.p == pytest.approx(least)


def test_holm():
  assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
  assert holm([0.5, 0.9]) == [1, 1]
  assert holm([0.2]) == [0.2]
  assert holm([]) == []
