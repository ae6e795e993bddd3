"""Tests of batch normalisation."""

import functools
import subprocess
import sys

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from launched import with_devices

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


# On two devices: three norms, two of them a batch of copies as edges are, and a
# layer with a scale and a bias. Then with each device's own statistics, against
# two passes on one device, each over the half of the batch that a device has.
_TWO_DEVICES = """
import re
import jax
import jax.numpy as jnp
import numpy as np
from opp_darts_jax.operations import norm
from opp_darts_jax.operations.target import traced_for
from opp_darts_jax.running.devices import Devices

numbers = np.random.default_rng(0)
x = jax.device_put(np.float32(numbers.standard_normal((8, 3, 4, 2)) + 1000))
layer = norm.BatchNorm()
variables = layer.init(jax.random.key(0), x, train=True)

def copies(x):
  y, batch = norm.normalise(norm.measure(x), None)
  return jnp.sin(y.value), batch

def program(devices, x=x, own_norms=False):
  def loss(params, x):
    y, batch = jax.vmap(copies)(jnp.stack([x, jnp.cos(x)]))
    last = variables | {'params': params}
    z, moved = layer.apply(last, y.sum(0), True, mutable=['batch_stats'])
    return (z**3).mean(), (batch, moved)

  def gradients(params, x):
    with traced_for(devices.target._replace(own_norms=own_norms)):
      return jax.value_and_grad(loss, (0, 1), has_aux=True)(
        params, devices.divide(x)
      )

  args = devices.copy((variables['params'], x))
  return jax.jit(gradients).lower(*args).compile(), args

def count_collectives(compiled):
  names = ('all-gather', 'all-reduce', 'all-to-all', 'collective-permute')
  text = compiled.as_text()
  print(*(len(re.findall(f' {name}(?:-start)?\\\\(', text)) for name in names))

one_device = Devices(jax.devices()[:1])
found = []
for devices in (one_device, Devices()):
  compiled, args = program(devices)
  found.append(jax.device_get(compiled(*args)))
for one, two in zip(*map(jax.tree.leaves, found)):
  np.testing.assert_allclose(two, one, rtol=1e-3, atol=2e-4)
# A mean of 1000 does not blur a variance of 1.
_, (batch, _) = found[1][0]
flat = np.float64(x).reshape(-1, 2)
np.testing.assert_allclose(batch['mean'][0], flat.mean(0), rtol=1e-6)
np.testing.assert_allclose(batch['var'][0], flat.var(0, ddof=1), rtol=1e-4)
count_collectives(compiled)

compiled, args = program(Devices(), own_norms=True)
count_collectives(compiled)
(loss, aux), (params, x_grads) = jax.device_get(compiled(*args))
of_half, (first_params, _) = program(one_device, x[:4])
halves = [of_half(first_params, half) for half in (x[:4], x[4:])]
means = jax.tree.map(lambda a, b: (a + b) / 2, *halves)
(want, want_aux), (want_params, _) = means
want = want, want_aux, want_params
for a, b in zip(*map(jax.tree.leaves, ((loss, aux, params), want))):
  np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-4)
by_halves = np.concatenate([half[1][1] for half in halves]) / 2
np.testing.assert_allclose(x_grads, by_halves, rtol=1e-3, atol=2e-4)
# What is averaged is what each half says, unbiased, not what the batch says.
by_hand = (flat[:48].var(0, ddof=1) + flat[48:].var(0, ddof=1)) / 2
np.testing.assert_allclose(aux[0]['var'][0], by_hand, rtol=1e-4)
assert np.abs(by_hand / batch['var'][0] - 1).max() > 1e-3
"""


def test_devices_wait_for_each_other_once_a_norm_and_once_a_gradient():
  done = subprocess.run(
    [sys.executable, '-c', _TWO_DEVICES],
    env=with_devices(2),
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  together, apart = done.stdout.splitlines()
  assert together.split() == ['2', '2', '0', '0']
  # At the end: gradients, loss and statistics in one sum.
  assert apart.split() == ['0', '1', '0', '0']
