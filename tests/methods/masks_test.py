"""Tests of steps under a mask that differs from edge to edge."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_search
import toy_network

from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.lambda_darts import lambda_darts
from opp_darts_jax.methods.steps import search_step

SPACE = tiny_search.space_of(
  'masked', 'none', 'skip_connect', 'sep_conv_3x3', nodes=1
)
# Every operation is active on one edge and not on the other.
MASK = np.array([[True, False, True], [False, True, False]])


@pytest.mark.parametrize('order', ['first', 'second', 'second_fd'])
def test_inactive_alphas_rest_and_have_no_say(order):
  masks = {kind: jax.device_put(MASK) for kind in SPACE.kinds}
  if order == 'second_fd':  # The same gradient of alphas, at other weights.
    task, state = toy_network.search_of(darts(), order, SPACE, mask=masks)
  else:
    task = tiny_search.task_of(SPACE, layers=1, channels=2, order=order)
    state = tiny_search.random_state(task).replace(mask=masks)

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


def test_gradients_for_operation_weights_are_of_what_is_active():
  def gradient(gradients, tables, own, draw):
    del own, draw
    by_averages = gradients.evaluated(tables)[1]
    kept = {'tables': gradients.tables(tables), 'evaluated': by_averages}
    return *gradients.weights(tables), kept

  method = lambda_darts()._replace(weight_gradient=gradient)
  masks = {kind: jax.device_put(MASK) for kind in SPACE.kinds}
  task, state = toy_network.search_of(method, space=SPACE, mask=masks)
  network = task.model

  def apply(variables, images, tables, mask, *args, **kwargs):
    """As the network, but of operations that edges share."""
    everything = jax.tree.map(jnp.ones_like, mask)
    return network.apply(variables, images, tables, everything, *args, **kwargs)

  task = dataclasses.replace(task, model=network._replace(apply=apply))
  tables = {kind: jnp.zeros((2, *MASK.shape)) for kind in SPACE.kinds}
  state = state.replace(own={'tables': tables, 'evaluated': tables})
  after, _ = toy_network.stepped(task, state)
  for found in jax.tree.leaves(after.own):
    np.testing.assert_array_equal(found != 0, np.stack([MASK] * 2))
