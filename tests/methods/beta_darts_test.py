"""Tests of Beta-DARTS: the term, its gradient, its factor."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search

from opp_darts_jax.errors import UserError
from opp_darts_jax.methods import beta_darts as beta_darts_lib
from opp_darts_jax.methods.beta_darts import beta_darts
from opp_darts_jax.spaces.catalogue import SPACES

BENCH = SPACES['nasbench201']
MASK = tiny_search.mask_of(BENCH)


def test_term_is_the_mean_of_logsumexp():
  zero = {'cell': jnp.zeros((6, 5))}
  decay = beta_darts_lib.decay
  np.testing.assert_allclose(decay(BENCH, zero, MASK), np.log(5), rtol=1e-6)
  # Not invariant to a shift, which is what makes alphas decay.
  shifted = {'cell': zero['cell'] + 2}
  np.testing.assert_allclose(decay(BENCH, shifted, MASK), np.log(5) + 2, 1e-6)
  # Of active operations, on edges that have any.
  mask = {'cell': MASK['cell'].at[:, :3].set(False).at[3:].set(False)}
  np.testing.assert_allclose(decay(BENCH, zero, mask), np.log(2), rtol=1e-6)


def test_gradient_is_the_softmax_over_the_number_of_edges():
  alphas = {'cell': jax.random.normal(tiny_search.KEY, (6, 5))}
  found = jax.grad(lambda a: beta_darts_lib.decay(BENCH, a, MASK))(alphas)
  want = jax.nn.softmax(alphas['cell']) / 6
  np.testing.assert_allclose(found['cell'], want, rtol=1e-5)
  two = SPACES['s2'].with_nodes(1)
  alphas = {kind: jnp.zeros((2, 2)) for kind in two.kinds}
  mask = tiny_search.mask_of(two)
  found = jax.grad(lambda a: beta_darts_lib.decay(two, a, mask))(alphas)
  np.testing.assert_allclose(found['reduce'], 1 / 8, rtol=1e-6)


def test_factor_grows_with_the_epochs_from_none():
  method, alphas = beta_darts(50.0), {'cell': jnp.zeros((6, 5))}
  terms = [
    float(method.val_term(BENCH, alphas, MASK, tiny_search.draw_of(step, 100)))
    for step in (0, 1, 2, 198)  # Two steps an epoch.
  ]
  want = np.array([0, 0, 0.5, 49.5]) * np.log(5)
  np.testing.assert_allclose(terms, want, rtol=1e-5)


def test_unfit_strength():
  with pytest.raises(UserError, match=r'at least 0; got strength=-1'):
    beta_darts(-1)
