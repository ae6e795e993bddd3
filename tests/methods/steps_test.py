"""Tests of a search's steps."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_search
import toy_network

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.halves import (
  alpha_step,
  move_weights,
  weight_step,
)
from opp_darts_jax.methods.state import Batch
from opp_darts_jax.methods.steps import search_step

KEY = tiny_search.KEY
SPACE = toy_network.SPACE


def test_step_is_traced_once_within_and_across_stages():
  task = tiny_search.task_of(SPACE, layers=1)
  state = tiny_search.shapes_of(task)
  train, val = jax.eval_shape(tiny_search.batches)

  @jax.jit
  @chex.assert_max_traces(n=1)
  def step(*args):
    return search_step(task, *args)

  chex.clear_trace_counter()
  for _ in range(3):
    out, _ = jax.eval_shape(step, state, 0.1, train, val, KEY)
  chex.assert_trees_all_equal_shapes_and_dtypes(out, state)


def test_one_loop_for_both_steps_is_one_after_the_other():
  task, state = toy_network.search_of(darts())
  args = 0.1, *tiny_search.batches()

  @jax.jit
  def looped(state):
    return search_step(task, state, *args, KEY)

  @jax.jit
  def stepped(state):
    alpha_key, weight_key = jax.random.split(KEY)
    state, val = alpha_step(task, state, *args, alpha_key)
    state, train = weight_step(task, state, *args, weight_key)
    return state.replace(step=state.step + 1), (train.loss, val.loss)

  after, metrics = looped(state)
  expected, losses = stepped(state)
  close = functools.partial(chex.assert_trees_all_close, rtol=1e-4, atol=1e-5)
  close((metrics.train_loss, metrics.val_loss), losses)
  close(after, expected)


def test_weights_that_rest_have_no_say_in_what_is_clipped():
  def moves(own, weights):
    del own
    return jax.tree_util.tree_map_with_path(
      lambda path, leaf: jnp.full(leaf.shape, path[-1].key == 'head'), weights
    )

  config = SearchConfig()  # Clips, as the toy's does not.
  task, state = toy_network.search_of(darts()._replace(moves=moves))
  task = dataclasses.replace(task, config=config)
  large = jax.tree.map(lambda w: jnp.full(w.shape, 1e3), state.weights)
  head = jnp.full(state.weights['head'].shape, 0.1)

  @jax.jit
  def moved(grads):
    return move_weights(task, 0.1, state, grads)

  after = moved(large | {'head': head})
  decay = config.weights.weight_decay
  assert optax.tree.norm(head) < config.weights.clip_norm
  want = state.weights['head'] - 0.1 * (head + decay * state.weights['head'])
  np.testing.assert_allclose(after.weights['head'], want, rtol=1e-6)
  chex.assert_trees_all_equal(after.weights['cell0'], state.weights['cell0'])


@pytest.mark.parametrize('order', ['first', 'second', 'second_fd'])
def test_parts_are_a_mean_over_batches(order):
  # Two parts of the same images have the batch's own statistics: a step in
  # parts is then the step itself.
  task, state = toy_network.search_of(darts(), order)
  images = jax.random.normal(KEY, (2, 4, 8, 8, 1)).repeat(2, 1)
  labels = jnp.array([[0, 1, 2, 1], [2, 0, 1, 1]]).repeat(2, 1)
  train, val = (Batch(images[i], labels[i]) for i in (0, 1))

  def moved(accumulate):
    config = dataclasses.replace(task.config, accumulate=accumulate)
    own = dataclasses.replace(task, config=config)
    state_after, metrics = jax.jit(
      lambda state: search_step(own, state, 0.1, train, val, KEY)
    )(state)
    # Running variances are of unbiased estimates, which know the batch's size.
    return state_after.replace(batch_stats=None), metrics

  whole, parts = moved(1), moved(2)
  tolerance = 1e-3 if order == 'second_fd' else 1e-5
  chex.assert_trees_all_close(
    parts, whole, rtol=tolerance, atol=0.1 * tolerance
  )
  assert not np.allclose(whole[0].alphas['normal'], state.alphas['normal'])


@functools.cache
def stepped(method):
  """The state before and after a step of a method."""
  task, state = toy_network.search_of(method)
  return state, toy_network.stepped(task, state)[0]


def test_a_single_level_takes_the_gradient_that_the_method_takes():
  def weight_gradient(gradients, tables, own, draw):
    found, gradient = gradients.weights(tables)
    return found, jax.tree.map(jnp.zeros_like, gradient), own

  plain = darts()._replace(single_level=True)
  still = plain._replace(weight_gradient=weight_gradient)
  state, whole = stepped(plain)
  _, rested = stepped(still)
  # The same alphas; but of the weights nothing remains but their decay.
  chex.assert_trees_all_close(rested.alphas, whole.alphas, rtol=1e-5, atol=1e-7)
  decay = 1 - 0.1 * SearchConfig().weights.weight_decay
  want = jax.tree.map(lambda w: decay * w, state.weights)
  chex.assert_trees_all_close(rested.weights, want, rtol=1e-6)
  assert not np.allclose(whole.weights['head'], want['head'], rtol=1e-3)


def test_a_term_counts_in_its_own_half_alone():
  def steep(space, params, mask, draw):
    return jnp.sqrt(0.0 * params['reduce'].sum())  # Its gradient is infinite.

  def pull(space, params, mask, draw):
    return 100.0 * params['reduce'].sum()

  method = darts()._replace(val_term=pull, train_term=steep)
  state, after = stepped(method)
  moved = after.alphas['reduce'] - state.alphas['reduce']
  active = state.mask['reduce']
  # A first step of Adam is its learning rate long.
  np.testing.assert_allclose(moved[active], -3e-4, rtol=1e-2)
  assert np.isfinite(after.alphas['reduce']).all()
