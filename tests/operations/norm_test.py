"""Tests of batch normalisation."""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax.operations import norm

close = functools.partial(chex.assert_trees_all_close, rtol=1e-5, atol=1e-5)


def some_x():
  rng = np.random.default_rng(0)
  x = rng.standard_normal((3, 4, 5, 2)) * [1.0, 3.0] + [0.5, -2.0]
  return np.float32(x)


@jax.jit
def normalise(x, running):
  normalised, used = norm.normalise(norm.measure(x), running)
  return normalised.value, used


def statistics(x, ddof):
  axes = tuple(range(x.ndim - 1))
  x = np.float64(x)
  return {'mean': x.mean(axes), 'var': x.var(axes, ddof=ddof)}


def normalised(x, statistics):
  return (x - statistics['mean']) / np.sqrt(statistics['var'] + 1e-5)


@pytest.mark.parametrize('shape', [(3, 4, 5, 2), (60, 2)])
def test_batch_statistics_normalise_and_the_variance_reported_is_unbiased(
  shape,
):
  x = some_x().reshape(shape)
  y, batch = normalise(x, None)
  close(y, normalised(x, statistics(x, ddof=0)))
  close(batch, statistics(x, ddof=1))


def test_running_averages_normalise_where_they_are_given():
  x = some_x()
  running = {'mean': np.float32([1, 2]), 'var': np.float32([4, 0.25])}
  y, used = normalise(x, running)
  close(y, normalised(x, running))
  chex.assert_trees_all_equal(used, running)


def test_epsilon_saves_a_constant_channel():
  x = np.full((8, 1), 1000.1, np.float32)
  y, batch = jax.device_get(normalise(x, None))
  assert batch['var'][0] >= 0
  np.testing.assert_allclose(y, 0, atol=0.05)


def test_one_value_a_channel_has_no_variance():
  y, batch = jax.device_get(normalise(np.float32([[3, -4]]), None))
  want = {'mean': np.array([3.0, -4.0]), 'var': np.zeros(2)}
  close((y[0], batch), (np.zeros(2), want))


def test_gradient_goes_through_the_statistics_used():
  x = some_x().reshape(-1, 2)
  weights = np.cos(x)

  def loss(x):
    return (normalise(x, None)[0] * weights).sum()

  inverse = 1 / np.sqrt(statistics(x, 0)['var'] + 1e-5)
  y = normalised(x, statistics(x, 0))
  want = inverse * (weights - weights.mean(0) - y * (weights * y).mean(0))
  close(jax.jit(jax.grad(loss))(x), want)


def test_no_gradient_goes_through_the_statistics_reported():
  def loss(x):
    batch = normalise(x, None)[1]
    return batch['mean'].sum() + batch['var'].sum()

  assert not np.asarray(jax.jit(jax.grad(loss))(some_x())).any()


def test_running_averages_move_by_a_tenth():
  running = {'op': norm.initial_statistics((2,))}
  batch = {'op': {'mean': np.float32([1, -2]), 'var': np.float32([3, 0])}}
  moved = jax.jit(norm.update_running)(running, batch)['op']
  close(moved, {'mean': np.array([0.1, -0.2]), 'var': np.array([1.2, 0.9])})


@pytest.mark.parametrize('affine', [False, True])
def test_the_layer(affine):
  x, layer = some_x(), norm.BatchNorm(affine)
  variables = layer.init(jax.random.key(0), x, train=True)
  initial = {'norm': {'mean': np.zeros(2), 'var': np.ones(2)}}
  chex.assert_trees_all_equal(variables['batch_stats'], initial)
  weights = {'scale': np.ones(2), 'bias': np.zeros(2)} if affine else {}
  chex.assert_trees_all_equal(dict(variables.get('params', {})), weights)

  y, changed = layer.apply(variables, x, train=True, mutable=['batch_stats'])
  close(y, normalised(x, statistics(x, ddof=0)))
  batch = statistics(x, ddof=1)
  want = {'mean': 0.1 * batch['mean'], 'var': 0.9 + 0.1 * batch['var']}
  close(changed['batch_stats'], {'norm': want})

  y, changed = layer.apply(
    {**variables, **changed}, x, train=False, mutable=['batch_stats']
  )
  close(y, normalised(x, want))
  close(changed['batch_stats'], {'norm': want})


def test_scale_and_bias_of_the_layer():
  x = some_x()
  weights = {'scale': jnp.array([2.0, -1.0]), 'bias': jnp.array([0.5, 3.0])}
  variables = {
    'params': weights,
    'batch_stats': {'norm': norm.initial_statistics((2,))},
  }
  y = norm.BatchNorm().apply(variables, x, train=False)
  close(y, x / np.sqrt(1 + 1e-5) * [2, -1] + [0.5, 3])


def test_every_training_pass_of_a_layer_that_is_shared_moves_the_averages():
  class Twice(nn.Module):
    @nn.compact
    def __call__(self, x):
      layer = norm.BatchNorm(affine=False)
      return layer(layer(x, True) + 1, True)

  x = some_x()
  variables = Twice().init(jax.random.key(0), x)
  _, changed = Twice().apply(variables, x, mutable=['batch_stats'])
  (layer,) = changed['batch_stats'].values()
  mean = 0.9 * 0.1 * statistics(x, 1)['mean'] + 0.1 * 1.0
  close(layer['norm']['mean'], mean)
