"""Tests of DrNAS: samples, divergence, pruning, warm-up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search
import toy_network

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.methods import drnas as drnas_lib
from opp_darts_jax.methods.drnas import drnas
from opp_darts_jax.methods.stages import Stage
from opp_darts_jax.operations.target import Target, traced_for

KEY = tiny_search.KEY
SPACE = tiny_search.space_of('s3', 'none', 'skip_connect', 'sep_conv_3x3')
ALPHAS = np.float32([[0.0, 0.0, 0.0], [2.0, -1.0, 0.5]])
MASK = np.array([[True, True, True], [True, True, False]])
concentration = jax.jit(drnas_lib.concentration)


def test_concentration_is_one_at_zero_and_never_below_zero():
  found = concentration(np.float32([0, 2, -1, -100]))
  np.testing.assert_allclose(found, [1, 3, np.exp(-1), 1e-6], rtol=1e-6)


def test_samples_have_the_moments_of_the_distribution():
  c = concentration(ALPHAS)
  draw = jax.jit(jax.vmap(lambda key: drnas_lib.sample(key, c, MASK)))
  drawn = np.asarray(draw(jax.random.split(KEY, 5000)))
  np.testing.assert_allclose(drawn.sum(-1), 1, rtol=1e-5)
  np.testing.assert_array_equal(drawn[:, 1, 2], 0)
  # Uniform: mean 1/K, variance (K - 1) / (K^2 (K + 1)).
  np.testing.assert_allclose(drawn[:, 0].mean(0), 1 / 3, atol=0.01)
  np.testing.assert_allclose(drawn[:, 0].var(0), 2 / (9 * 4), atol=0.003)
  total = 3 + np.exp(-1)
  mean = 3 / total
  np.testing.assert_allclose(drawn[:, 1, 0].mean(), mean, atol=0.01)
  spread = mean * (1 - mean) / (total + 1)
  np.testing.assert_allclose(drawn[:, 1, 0].var(), spread, atol=0.003)


def test_gradients_of_samples_are_finite_and_of_the_mean_on_average():
  worth = jnp.array([1.0, 0.0, 0.0])

  @jax.jit
  def gradient(alphas):
    def value(alphas, key):
      c = drnas_lib.concentration(alphas)
      return (drnas_lib.sample(key, c, MASK) @ worth).sum()

    keys = jax.random.split(KEY, 4000)
    return jax.vmap(jax.grad(value), (None, 0))(alphas, keys)

  found = np.asarray(gradient(ALPHAS))
  # d E p_0 / d alpha_0 = (total - c_0) / total^2 at c = alpha + 1.
  np.testing.assert_allclose(found[:, 0, 0].mean(), 2 / 9, atol=0.01)
  assert np.isfinite(gradient(np.full((2, 3), -10, np.float32))).all()


@pytest.mark.parametrize('platform', ['cpu', 'gpu', 'tpu'])
def test_gradients_are_taken_as_the_platform_traced_for_does(platform):
  def value(alphas):
    return drnas_lib.sample(KEY, jnp.exp(alphas), MASK)[:, 0].sum()

  with traced_for(Target(platform)):
    text = str(jax.make_jaxpr(jax.grad(value))(ALPHAS))
  # A loop over the entries scans them.
  assert ('scan[' in text) == (platform == 'cpu')


def test_gradients_are_jaxs_own():
  both = [
    jax.jit(jax.grad(lambda c, draw=draw: draw(KEY, c)[:, 0].sum()))(
      np.exp(ALPHAS)
    )
    for draw in (drnas_lib.log_gamma, jax.random.loggamma)
  ]
  np.testing.assert_array_equal(*both)


def test_divergence_is_zero_at_uniform_and_known_else():
  divergence = jax.jit(drnas_lib.divergence)
  found = np.asarray(divergence(concentration(ALPHAS), MASK))
  np.testing.assert_allclose(found[0], 0, atol=1e-5)
  # KL(Beta(2, 1) || Beta(1, 1)) = ln 2 - 1/2.
  pair = divergence(np.float32([[2, 1, 7]]), MASK[1:])
  np.testing.assert_allclose(pair, [np.log(2) - 0.5], rtol=1e-5)
  ones = np.ones((1, 3), np.float32)
  nothing = divergence(ones, np.zeros((1, 3), bool))
  np.testing.assert_array_equal(nothing, [0])
  method = drnas(kl=1e-3)
  alphas = {kind: np.ones((5, 3), np.float32) for kind in SPACE.kinds}
  mask = SPACE.mask()
  term = jax.jit(
    lambda alphas: method.val_term(SPACE, alphas, mask, tiny_search.draw_of())
  )(alphas)
  (each,) = np.asarray(divergence(2 * ones, MASK[:1]))
  np.testing.assert_allclose(term, 1e-3 * 10 * each, rtol=1e-5)


def test_the_strongest_stay_from_the_middle_on():
  method = drnas(keep=2)
  _, state = toy_network.search_of(method, space=SPACE)
  table = jnp.array([[3.0, 1.0, 2.0]] * 5)
  state = state.replace(alphas=dict.fromkeys(SPACE.kinds, table))
  search = tiny_search.search_of(SPACE, SearchConfig(epochs=8))
  stages = [Stage(0, SPACE.names, {})]
  assert method.begin_epoch(search, state, 3, stages).state is state
  after = method.begin_epoch(search, state, 4, stages).state
  for kind in SPACE.kinds:
    assert after.mask[kind].tolist() == [[True, False, True]] * 5
    assert after.alphas[kind].tolist() == [[3.0, 0.0, 2.0]] * 5
  assert method.begin_epoch(search, after, 5, stages).state is after


def test_alphas_rest_at_the_start_of_each_stage():
  method = drnas(warmup_epochs=1, keep=2)
  begun = [
    bool(method.trains_alphas(tiny_search.draw_of(2 * epoch, 4).progress))
    for epoch in range(4)
  ]
  assert begun == [False, True, False, True]


def test_unfit_arguments():
  def plain(epochs):
    return SearchConfig(epochs=epochs, schedule=ScheduleConfig('plain'))

  with pytest.raises(UserError, match=r'partial of at least 1 .* partial=0'):
    drnas(partial=0)
  with pytest.raises(UserError, match=r'multiple of 3, .* got 16'):
    drnas(partial=3).check(SearchConfig(channels=16), SPACE)
  with pytest.raises(UserError, match=r'more than 10, .* got 20'):
    drnas(warmup_epochs=10, keep=2).check(SearchConfig(epochs=20), SPACE)
  with pytest.raises(UserError, match=r'each stage .* more than 2, .* got 5'):
    drnas(warmup_epochs=2, keep=2).check(SearchConfig(epochs=5), SPACE)
  drnas(warmup_epochs=2, keep=2).check(plain(6), SPACE)
  drnas(warmup_epochs=4).check(plain(5), SPACE)
