"""Tests of weights as layers ask for them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.operations import weights


def test_weights_that_are_there_are_not_made_anew():
  made = []

  def init(key, channels):
    made.append(channels)
    return jax.random.normal(key, (channels,))

  class Layer(nn.Module):
    @nn.compact
    def __call__(self, x):
      return x * weights.param(self, 'weights', init, x.shape[-1])

  x = jnp.ones(3)
  y, variables = Layer().init_with_output(jax.random.key(0), x)
  np.testing.assert_array_equal(y, variables['params']['weights'])
  np.testing.assert_array_equal(Layer().apply(variables, x), y)
  assert made == [3]
