"""Tests of FairDARTS: independent weights, the zero-one loss, the threshold."""

import jax
import numpy as np
import pytest
import tiny_search

from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.cell import Edge
from opp_darts_jax.methods import fair_darts as fair_darts_lib
from opp_darts_jax.methods.fair_darts import fair_darts
from opp_darts_jax.spaces.catalogue import SPACES

SPACE = tiny_search.space_of('s2', 'skip_connect', 'sep_conv_3x3')
MASK = SPACE.mask()
DRAW = tiny_search.draw_of()


def alphas_of(*rows):
  return {kind: np.float32(rows) for kind in SPACE.kinds}


def test_weights_begin_at_a_half_and_are_independent():
  method = fair_darts()
  params = method.init(tiny_search.KEY, SPACE)
  weights = jax.jit(lambda params: method.weights(SPACE, params, MASK, DRAW))
  before = weights(params)
  np.testing.assert_array_equal(before['normal'], 0.5)
  params['normal'] = np.array(params['normal'])
  params['normal'][2, 1] = 3
  after = jax.device_get(weights(params))
  assert np.argwhere(after['normal'] != 0.5).tolist() == [[2, 1]]
  np.testing.assert_array_equal(after['reduce'], 0.5)


def test_zero_one_loss():
  loss = jax.jit(fair_darts_lib.zero_one_loss, static_argnums=0)
  assert loss(SPACE, alphas_of(*[[0, 0]] * 5), MASK) == 0
  far = alphas_of(*[[50, -50]] * 5)
  np.testing.assert_allclose(loss(SPACE, far, MASK), -0.25, rtol=1e-6)
  # The mean is over all cells: one decided alpha of 20.
  one = alphas_of(*[[0, 0]] * 5)
  one['reduce'][0, 0] = 50
  np.testing.assert_allclose(loss(SPACE, one, MASK), -0.25 / 20, rtol=1e-6)
  # What is not active does not count.
  mask = {kind: m & (np.arange(5) < 1)[:, None] for kind, m in MASK.items()}
  np.testing.assert_allclose(loss(SPACE, one, mask), -0.25 / 4, rtol=1e-6)
  method = fair_darts(zero_one=8.0)
  term = jax.jit(lambda alphas: method.val_term(SPACE, alphas, MASK, DRAW))
  np.testing.assert_allclose(term(far), -2.0, rtol=1e-6)
  gradient = jax.jit(jax.grad(lambda a: loss(SPACE, a, MASK)))
  undecided = jax.device_get(gradient(alphas_of(*[[0, 0]] * 5)))
  assert not undecided['normal'].any()


def test_only_what_reaches_the_threshold_is_derived():
  weak, strong = 1.0, 2.0  # Sigmoids of 0.73 and 0.88.
  alphas = alphas_of(
    [weak, weak], [strong, 3.0], [strong, weak], [0, 4.0], [3.0, weak]
  )
  alphas['reduce'][:] = weak
  found = tiny_search.derived(fair_darts(), SPACE, alphas)
  assert found['normal'].edges == (
    Edge('sep_conv_3x3', 1, 2),
    Edge('sep_conv_3x3', 1, 3),
    Edge('skip_connect', 2, 3),
  )
  assert found['reduce'].edges == ()
  assert found['reduce'].output == SPACE.graph.output
  SPACE.check(found)
  bench = SPACES['nasbench201']
  table = np.zeros((6, 5), np.float32)
  table[2, 3] = 5
  found = tiny_search.derived(fair_darts(), bench, {'cell': table})
  names = [edge.operation for edge in found['cell'].edges]
  assert names == ['none', 'none', 'nor_conv_3x3', 'none', 'none', 'none']


def test_unfit_arguments():
  with pytest.raises(UserError, match=r'threshold in \[0, 1\]; .*=1.5'):
    fair_darts(threshold=1.5)
