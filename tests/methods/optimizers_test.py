"""Tests of the optimisers of weights and alphas."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from opp_darts_jax.config import (
  AlphaOptimizerConfig,
  SearchConfig,
  WeightOptimizerConfig,
)
from opp_darts_jax.errors import UserError
from opp_darts_jax.methods import optimizers

MASK = {
  'normal': np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1]], bool),
  'reduce': np.array([[0, 0, 1], [0, 0, 0], [1, 1, 0], [0, 1, 1]], bool),
}


def some_tables(seed=0, scale=1.0):
  rng = np.random.default_rng(seed)
  return {
    cell: np.float32(scale * rng.standard_normal(mask_EK.shape))
    for cell, mask_EK in MASK.items()
  }


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
  optimizer = optimizers.alpha_optimizer(config)
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
  for cell in MASK:
    mask = MASK[cell]
    want = adam(
      np.float64(start[cell]), [np.float64(g[cell]) for g in gradients], config
    )
    moved = np.abs(want - start[cell])[mask]
    assert moved.max() > 2 * config.learning_rate
    np.testing.assert_allclose(
      np.asarray(alphas[cell])[mask], want[mask], rtol=2e-5
    )
    np.testing.assert_array_equal(
      np.asarray(alphas[cell])[~mask], start[cell][~mask]
    )


def test_moments_of_inactive_alphas_stay_zero():
  optimizer = optimizers.alpha_optimizer(AlphaOptimizerConfig())
  alphas = some_tables()
  state = optimizer.init(alphas)
  _, state = jax.device_get(
    jax.jit(optimizer.update)(some_tables(1), state, alphas, mask=MASK)
  )
  moments = [leaf for leaf in jax.tree.leaves(state) if leaf.shape == (4, 3)]
  assert len(moments) == 4  # Two of each cell.
  for leaf, mask in zip(moments, [*MASK.values()] * 2):
    np.testing.assert_array_equal(leaf != 0, mask)


def test_weight_optimizer_clips_decays_and_remembers():
  config = WeightOptimizerConfig(momentum=0.5, weight_decay=0.1, clip_norm=5.0)
  optimizer = optimizers.weight_optimizer(config)
  weights = {'w': np.float32([1.0, -2.0])}
  state, velocity = optimizer.init(weights), np.zeros(2)
  update = jax.jit(optimizer.update)
  for gradient in ([6.0, 8.0], [0.3, 0.4]):
    updates, state = update({'w': np.float32(gradient)}, state, weights)
    clipped = np.array(gradient) * min(1, 5 / np.hypot(*gradient))
    velocity = 0.5 * velocity + clipped + 0.1 * np.array([1.0, -2.0])
    np.testing.assert_allclose(updates['w'], velocity, rtol=1e-6)
  np.testing.assert_array_equal(
    optax.tree.get(state, 'trace')['w'], updates['w']
  )


def test_zero_where_not_keeps_the_rest():
  tree = {'a': np.float32([1, 2]), 'b': np.float32(np.nan)}
  mask = {'a': np.array([True, False]), 'b': np.array(False)}
  kept = jax.jit(optimizers.zero_where_not)(mask, tree)
  np.testing.assert_array_equal(kept['a'], [1.0, 0.0])
  assert kept['b'] == 0


def test_nesterov_looks_a_step_ahead():
  plain, ahead = (
    optimizers.weight_optimizer(
      WeightOptimizerConfig(
        momentum=0.9, weight_decay=0.0, clip_norm=1e6, nesterov=nesterov
      )
    )
    for nesterov in (False, True)
  )
  grads = {'w': np.float32([1.0, -2.0])}
  updates = []
  for optimizer in (plain, ahead):
    state, update = optimizer.init(grads), jax.jit(optimizer.update)
    for _ in range(2):
      found, state = update(grads, state, grads)
    updates.append(found['w'])
  # The velocity is g (1 + 0.9); Nesterov's step g + 0.9 of it.
  np.testing.assert_allclose(updates[0], 1.9 * grads['w'], rtol=1e-6)
  want = (1 + 0.9 * 1.9) * grads['w']
  np.testing.assert_allclose(updates[1], want, rtol=1e-6)
  with pytest.raises(UserError, match=r"order='first': .* got order='second'"):
    SearchConfig(order='second', weights=WeightOptimizerConfig(nesterov=True))


def test_alpha_gradients_are_clipped_before_their_decay():
  config = AlphaOptimizerConfig(weight_decay=0.5, clip_norm=1.0)
  alphas = {'normal': np.float32([2, 0, 0])}
  optimizer = optimizers.alpha_optimizer(config)
  grads = {'normal': np.float32([6, 8, 99])}
  mask = {'normal': np.array([True, True, False])}
  update = jax.jit(optimizer.update)
  _, state = update(grads, optimizer.init(alphas), alphas, mask=mask)
  moment = optax.tree.get(state, 'mu')['normal']
  want = np.array([0.6 + 0.5 * 2.0, 0.8, 0.0])
  np.testing.assert_allclose(moment, (1 - config.b1) * want, rtol=1e-6)
