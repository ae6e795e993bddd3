"""Tests of steps under a mask that differs from edge to edge."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_search

from opp_darts_jax.methods.steps import search_step

SPACE = tiny_search.space_of(
  'masked', 'none', 'skip_connect', 'sep_conv_3x3', nodes=1
)
# Every operation is active on one edge and not on the other.
MASK = np.array([[True, False, True], [False, True, False]])


@pytest.mark.parametrize('order', ['first', 'second', 'second_fd'])
def test_inactive_alphas_rest_and_have_no_say(order):
  task = tiny_search.task_of(SPACE, layers=1, channels=2, order=order)
  state = tiny_search.random_state(task)
  masks = {kind: jax.device_put(MASK) for kind in SPACE.kinds}
  state = state.replace(mask=masks)

  @jax.jit
  def step(state):
    args = 0.1, *tiny_search.batches(), tiny_search.KEY
    return search_step(task, state, *args)[0]

  def other(table):
    return jnp.where(MASK, table, table + 1)

  moved = step(state)
  others = state.replace(alphas=jax.tree.map(other, state.alphas))
  also = step(others)
  moments = [optax.tree.get(moved.alpha_opt, name) for name in ('mu', 'nu')]
  for kind in SPACE.kinds:
    before, after = state.alphas[kind], moved.alphas[kind]
    np.testing.assert_array_equal(after != before, MASK)
    np.testing.assert_array_equal(also.alphas[kind], other(after))
    for moment in moments:
      np.testing.assert_array_equal(moment[kind] != 0, MASK)
  # Moments of what was active until now move nothing either.
  turned = {kind: jax.device_put(~MASK) for kind in SPACE.kinds}
  last = step(moved.replace(mask=turned))
  for kind in SPACE.kinds:
    changed = last.alphas[kind] != moved.alphas[kind]
    np.testing.assert_array_equal(changed, ~MASK)
