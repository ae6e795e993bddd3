"""Tests of a search's steps."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search

from opp_darts_jax.methods.halves import alpha_step, weight_step
from opp_darts_jax.methods.state import Batch
from opp_darts_jax.methods.steps import search_step

KEY = tiny_search.KEY
SPACE = tiny_search.space_of(
  'test', 'none', 'max_pool_3x3', 'skip_connect', 'sep_conv_3x3', nodes=1
)


def test_step_is_traced_once_within_and_across_stages():
  task = tiny_search.task_of(SPACE, layers=1)
  state = jax.eval_shape(
    functools.partial(tiny_search.state_of, task, 'skip_connect')
  )
  train, val = jax.eval_shape(tiny_search.batches)

  @jax.jit
  @chex.assert_max_traces(n=1)
  def step(*args):
    return search_step(task, *args)

  chex.clear_trace_counter()
  for _ in range(3):
    out, _ = jax.eval_shape(step, state, 0.1, train, val, KEY)
  chex.assert_trees_all_equal_shapes_and_dtypes(out, state)


@pytest.mark.usefixtures('quick_compilation')
@pytest.mark.parametrize('weights_first', [False, True])
def test_one_loop_for_both_steps_is_one_after_the_other(weights_first):
  task = tiny_search.task_of(SPACE)
  method = task.method._replace(weights_first=weights_first)
  task = dataclasses.replace(task, method=method)
  state = tiny_search.state_of(task, 'sep_conv_3x3', 'skip_connect')
  args = 0.1, *tiny_search.batches()

  @jax.jit
  def looped(state):
    return search_step(task, state, *args, KEY)

  @jax.jit
  def stepped(state):
    keys = jax.random.split(KEY)
    halves = [(alpha_step, keys[0]), (weight_step, keys[1])]
    losses = {}
    for half, key in halves[::-1] if weights_first else halves:
      state, found = half(task, state, *args, key)
      losses[half] = found.loss
    state = state.replace(step=state.step + 1)
    return state, (losses[weight_step], losses[alpha_step])

  after, metrics = looped(state)
  expected, losses = stepped(state)
  close = functools.partial(chex.assert_trees_all_close, rtol=1e-4, atol=1e-5)
  close((metrics.train_loss, metrics.val_loss), losses)
  close(after, expected)


@pytest.mark.parametrize('order', ['first', 'second', 'second_fd'])
def test_parts_are_a_mean_over_batches(order, quick_compilation):
  # Two parts of the same images have the batch's own statistics: a step in
  # parts is then the step itself.
  def task_of(accumulate):
    return tiny_search.task_of(
      SPACE,
      layers=1,
      channels=2,
      order=order,
      batch_size=8,
      accumulate=accumulate,
    )

  state = tiny_search.state_of(task_of(1))
  images = jax.random.normal(KEY, (2, 4, 8, 8, 1)).repeat(2, 1)
  labels = jnp.array([[0, 1, 2, 1], [2, 0, 1, 1]]).repeat(2, 1)
  train, val = (Batch(images[i], labels[i]) for i in (0, 1))

  def moved(accumulate):
    task = task_of(accumulate)
    state_after, metrics = jax.jit(
      lambda state: search_step(task, state, 0.1, train, val, KEY)
    )(state)
    # Running variances are of unbiased estimates, which know the batch's size.
    return state_after.replace(batch_stats=None), metrics

  whole, parts = moved(1), moved(2)
  tolerance = 1e-3 if order == 'second_fd' else 1e-5
  chex.assert_trees_all_close(
    parts, whole, rtol=tolerance, atol=0.1 * tolerance
  )
  assert not np.allclose(whole[0].alphas['normal'], state.alphas['normal'])
