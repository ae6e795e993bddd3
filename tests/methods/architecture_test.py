"""Tests of the alphas: their softmax, their optimiser, the genotype."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax.config import AlphaOptimizerConfig
from opp_darts_jax.methods import architecture

OPERATIONS = ('none', 'skip_connect', 'sep_conv_3x3')
MASK = {
  'normal': jnp.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1]], bool),
  'reduce': jnp.array([[0, 0, 1], [0, 0, 0], [1, 1, 0], [0, 1, 1]], bool),
}


def some_tables(seed=0, scale=1.0):
  rng = np.random.default_rng(seed)
  return {
    cell: jnp.float32(scale * rng.standard_normal(mask_EK.shape))
    for cell, mask_EK in MASK.items()
  }


def test_init_is_small_and_differs_between_the_cells():
  alphas = architecture.init_alphas(jax.random.key(0), 50, 40)
  assert list(alphas) == ['normal', 'reduce']
  for table in alphas.values():
    chex.assert_shape(table, (50, 40))
    np.testing.assert_allclose(table.std(), 1e-3, rtol=0.1)
    assert abs(table.mean()) < 1e-4
  assert not np.array_equal(*alphas.values())


def test_weights_are_the_softmax_of_the_active_operations():
  alphas = some_tables(scale=3)
  weights = architecture.operation_weights(alphas, MASK)
  for cell in architecture.CELLS:
    mask, table = np.asarray(MASK[cell]), np.float64(alphas[cell])
    exps = np.exp(table) * mask
    total = exps.sum(1, keepdims=True)
    want = np.divide(exps, total, out=np.zeros_like(exps), where=total > 0)
    np.testing.assert_allclose(weights[cell], want, rtol=1e-5)
    assert (np.asarray(weights[cell])[~mask] == 0).all()
    np.testing.assert_allclose(
      weights[cell].sum(1), mask.any(1).astype(float), rtol=1e-6
    )


@pytest.mark.parametrize('size', [1e3, -1e3])
def test_weights_of_large_alphas_are_numbers(size):
  mask = {'normal': jnp.array([[True, True, False]])}
  alphas = {'normal': jnp.array([[size, size - 200, 0.0]])}
  weights = architecture.operation_weights(alphas, mask)['normal']
  np.testing.assert_array_equal(weights, [[1, 0, 0]])


def test_gradients_of_the_weights_stay_within_the_mask():
  def loss(alphas):
    weights = architecture.operation_weights(alphas, MASK)
    return sum((w * some_tables(1)[cell]).sum() for cell, w in weights.items())

  alphas, factors = some_tables(), some_tables(1)
  weights, grads = (
    architecture.operation_weights(alphas, MASK),
    jax.grad(loss)(alphas),
  )
  for cell, p in weights.items():
    mean = (p * factors[cell]).sum(1, keepdims=True)
    np.testing.assert_allclose(
      grads[cell], p * (factors[cell] - mean), atol=1e-6
    )
    assert (np.asarray(grads[cell])[~np.asarray(MASK[cell])] == 0).all()


def adam(alpha, gradients, config):
  """Plain Adam with the decay in the gradient, as in PyTorch."""
  first = second = 0.0
  for step, gradient in enumerate(gradients, 1):
    gradient = gradient + config.weight_decay * alpha
    first = config.b1 * first + (1 - config.b1) * gradient
    second = config.b2 * second + (1 - config.b2) * gradient**2
    rate = config.learning_rate / (1 - config.b1**step)
    spread = np.sqrt(second / (1 - config.b2**step)) + 1e-8
    alpha = alpha - rate * first / spread
  return alpha


@pytest.mark.parametrize(
  'config',
  [AlphaOptimizerConfig(), AlphaOptimizerConfig(0.05, 0.8, 0.9, 0.3)],
  ids=['published', 'other'],
)
def test_optimizer_is_adam_on_active_alphas_and_nothing_on_others(config):
  optimizer = architecture.alpha_optimizer(config)
  start = some_tables()
  # Gradients of inactive alphas do not matter, should there be any.
  gradients = [some_tables(seed) for seed in range(1, 31)]

  @jax.jit
  def step(alphas, state, gradient):
    updates, state = optimizer.update(gradient, state, alphas, mask=MASK)
    return jax.tree.map(jnp.add, alphas, updates), state

  alphas, state = start, optimizer.init(start)
  for gradient in gradients:
    alphas, state = step(alphas, state, gradient)
  for cell in architecture.CELLS:
    mask = np.asarray(MASK[cell])
    want = adam(
      np.float64(start[cell]), [np.float64(g[cell]) for g in gradients], config
    )
    moved = np.abs(want - start[cell])[mask]
    assert moved.max() > 2 * config.learning_rate
    np.testing.assert_allclose(
      np.asarray(alphas[cell])[mask], want[mask], rtol=2e-5
    )
    np.testing.assert_array_equal(
      np.asarray(alphas[cell])[~mask], np.asarray(start[cell])[~mask]
    )


def test_moments_of_inactive_alphas_stay_zero():
  optimizer = architecture.alpha_optimizer(AlphaOptimizerConfig())
  alphas = some_tables()
  state = optimizer.init(alphas)
  _, state = optimizer.update(some_tables(1), state, alphas, mask=MASK)
  moments = [leaf for leaf in jax.tree.leaves(state) if leaf.shape == (4, 3)]
  assert len(moments) == 4  # Two of each cell.
  for leaf, mask in zip(moments, [*MASK.values()] * 2):
    np.testing.assert_array_equal(leaf != 0, mask)


def test_genotype_of_small_tables():
  # Nodes 2 and 3: edges (0, 2), (1, 2), (0, 3), (1, 3), (2, 3).
  alphas = {
    'normal': jnp.array(
      [
        [9.0, 0.0, 2.0],  # none wins, but does not count
        [0.0, 3.0, 1.0],
        [0.0, 5.0, 9.0],  # of which the mask leaves skip_connect alone
        [0.0, 0.0, 1.0],
        [0.0, 4.0, 0.0],
      ]
    ),
    'reduce': jnp.zeros((5, 3)).at[:, 2].set(1 + jnp.arange(5.0)),
  }
  mask = {
    'normal': jnp.ones((5, 3), bool).at[2].set(jnp.array([0, 1, 0], bool)),
    'reduce': jnp.ones((5, 3), bool),
  }
  genotype = architecture.derive_genotype(alphas, mask, OPERATIONS, nodes=2)
  assert genotype.normal == (
    ('skip_connect', 1),
    ('sep_conv_3x3', 0),
    ('skip_connect', 0),
    ('skip_connect', 2),
  )
  assert genotype.reduce == (
    ('sep_conv_3x3', 1),
    ('sep_conv_3x3', 0),
    ('sep_conv_3x3', 2),
    ('sep_conv_3x3', 1),
  )
  assert genotype.normal_concat == genotype.reduce_concat == (2, 3)
