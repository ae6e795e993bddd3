"""Tests of RobustDARTS: when it stops, and what it goes back to."""

import jax
import numpy as np
import pytest
import tiny_search
import toy_network

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.methods.curvature import lanczos, largest_eigenvalue
from opp_darts_jax.methods.robust_darts import robust_darts
from opp_darts_jax.methods.stages import Stage

SPACE = toy_network.SPACE


def stopped(curvature_of, epochs=50):
  """(epoch at whose end it stops, epoch whose alphas it gives), or None."""
  method = robust_darts()
  _, state = toy_network.search_of(method)
  stages = [Stage(0, SPACE.names, {})]
  measured = []
  for epoch in range(1, epochs):
    done = epoch - 1
    # Alphas tell of which epoch they are.
    table = np.full((2, 2), done, np.float32)
    alphas = jax.device_put(dict.fromkeys(SPACE.kinds, table))
    state = state.replace(alphas=alphas)

    def curvature(state, done=done):
      measured.append(done)
      return curvature_of(done)

    search = tiny_search.search_of(
      SPACE, SearchConfig(epochs=epochs), curvature=curvature
    )
    change = method.begin_epoch(search, state, epoch, stages)
    state = change.state
    if change.stop:
      assert measured == list(range(0, done + 1, 2))
      return done, int(np.asarray(state.alphas['normal'])[0, 0])
  assert measured == list(range(0, epochs - 1, 2))
  return None


@jax.jit
def iterations(matrix, start):
  return lanczos(lambda v: matrix @ v, start)


def test_constant_curvature_never_stops():
  assert stopped(lambda epoch: 0.5) is None


def test_growth_stops_and_goes_back_twelve_epochs():
  # The averages at epochs 20 and 12 are (3 + 4) / 5 and 1 in the ratio 1.4.
  assert stopped(lambda epoch: 1.0 + (epoch >= 20)) == (22, 10)
  assert stopped(lambda epoch: 1.0 + (epoch >= 30)) == (32, 20)


def test_growth_by_less_or_too_early_does_not_stop():
  assert stopped(lambda epoch: 1.0 + 0.29 * (epoch >= 20)) is None
  assert stopped(lambda epoch: 1.0 + (epoch >= 4)) is None


@pytest.mark.parametrize(
  'values',
  [
    np.linspace(-9, 2.5, 3),  # The largest, not that of the largest size.
    np.linspace(-9, 2.5, 40),
    np.full(40, 1e-3),  # Weight decay alone: one product is all there is.
    np.r_[np.zeros(30), np.linspace(-1, 0.5, 10)],
    np.linspace(-3, -1, 5),
    np.zeros(4),
  ],
)
def test_largest_eigenvalue(values):
  numbers = np.random.default_rng(0)
  size = len(values)
  basis, _ = np.linalg.qr(numbers.standard_normal((size, size)))
  matrix = np.float32(basis * values @ basis.T)
  start = np.float32(numbers.standard_normal(size))
  found = largest_eigenvalue(*iterations(matrix, start))
  np.testing.assert_allclose(found, values.max(), rtol=2e-3, atol=1e-6)


def test_nothing_that_is_trained_has_no_eigenvalue():
  found = iterations(np.eye(4, dtype=np.float32), np.zeros(4, np.float32))
  assert np.isnan(largest_eigenvalue(*found))


def test_unfit_arguments():
  with pytest.raises(UserError, match=r'at least 1; .* and period=0'):
    robust_darts(period=0)
