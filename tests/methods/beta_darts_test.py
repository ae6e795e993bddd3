"""Tests of Beta-DARTS: the term, its gradient, its factor."""

import jax
import numpy as np
import pytest
import tiny_search

from opp_darts_jax.errors import UserError
from opp_darts_jax.methods import beta_darts as beta_darts_lib
from opp_darts_jax.methods.beta_darts import beta_darts
from opp_darts_jax.spaces.catalogue import SPACES

BENCH = SPACES['nasbench201']
MASK = BENCH.mask()
decay = jax.jit(beta_darts_lib.decay, static_argnums=0)
gradient = jax.jit(jax.grad(beta_darts_lib.decay, 1), static_argnums=0)


def test_term_is_the_mean_of_logsumexp():
  zero = {'cell': np.zeros((6, 5), np.float32)}
  np.testing.assert_allclose(decay(BENCH, zero, MASK), np.log(5), rtol=1e-6)
  # Not invariant to a shift, which is what makes alphas decay.
  shifted = {'cell': zero['cell'] + 2}
  np.testing.assert_allclose(decay(BENCH, shifted, MASK), np.log(5) + 2, 1e-6)
  # Of active operations, on edges that have any.
  mask = MASK['cell'].copy()
  mask[:, :3] = mask[3:] = False
  found = decay(BENCH, zero, {'cell': mask})
  np.testing.assert_allclose(found, np.log(2), rtol=1e-6)


def test_gradient_is_the_softmax_over_the_number_of_edges():
  drawn = np.random.default_rng(0).standard_normal((6, 5))
  alphas = {'cell': np.float32(drawn)}
  found = gradient(BENCH, alphas, MASK)
  shares = np.exp(drawn) / np.exp(drawn).sum(1, keepdims=True)
  np.testing.assert_allclose(found['cell'], shares / 6, rtol=1e-5)
  two = SPACES['s2'].with_nodes(1)
  alphas = {kind: np.zeros((2, 2), np.float32) for kind in two.kinds}
  found = gradient(two, alphas, two.mask())
  np.testing.assert_allclose(found['reduce'], 1 / 8, rtol=1e-6)


def test_factor_grows_with_the_epochs_from_none():
  method, alphas = beta_darts(50.0), {'cell': np.zeros((6, 5), np.float32)}

  @jax.jit
  def term(step):
    return method.val_term(
      BENCH, alphas, MASK, tiny_search.draw_of(step, epochs=100)
    )

  # Two steps an epoch.
  terms = [float(term(np.int32(step))) for step in (0, 1, 2, 198)]
  want = np.array([0, 0, 0.5, 49.5]) * np.log(5)
  np.testing.assert_allclose(terms, want, rtol=1e-5)


def test_unfit_strength():
  with pytest.raises(UserError, match=r'at least 0; got strength=-1'):
    beta_darts(-1)
