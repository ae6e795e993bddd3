"""Tests of second order on supernets, in double precision."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_search
import toys

from opp_darts_jax.methods import gradient
from opp_darts_jax.methods.halves import init_state
from opp_darts_jax.methods.loss import make_loss
from opp_darts_jax.methods.method import no_term
from opp_darts_jax.methods.steps import search_step

RATE = 0.1
KINKED = tiny_search.space_of('kinked', 'max_pool_3x3', 'sep_conv_3x3', nodes=1)


@pytest.fixture(autouse=True)
def double_precision():
  with jax.enable_x64(True):
    yield


def double(tree):
  """The tree, its numbers of float32 as float64."""
  return jax.tree.map(
    lambda t: t.astype(jnp.float64) if t.dtype == jnp.float32 else t, tree
  )


def problem(space, layout, layers=1):
  """A search of double precision, its state and its batches."""
  task = tiny_search.task_of(space, layout=layout, layers=layers, channels=2)
  # The type of the images, not that of the config.
  task = dataclasses.replace(task, model=task.model.clone(compute=''))
  state = double(tiny_search.random_state(task))
  # As if a step had been taken, so that there is a momentum.
  velocity = jax.tree.map(np.cos, state.weights)
  weight_opt = optax.tree.set(state.weight_opt, trace=velocity)
  state = state.replace(weight_opt=weight_opt)
  return task, state, double(tiny_search.batches())


def hypergradient(task, state, batches, order, step=None):
  """The alpha gradient as one vector; `step` as the length of differences."""
  config = dataclasses.replace(task.config, order=order)

  def loss(batch_stats):
    return make_loss(task, state.replace(batch_stats=batch_stats), no_term)

  with pytest.MonkeyPatch.context() as patch:
    if step is not None:
      patch.setattr(gradient, 'FINITE_DIFFERENCE_STEP', step)
    grads, _ = gradient.second_order_gradient(
      (loss, loss), config, state, RATE, *batches, tiny_search.KEY
    )
  return jnp.concatenate([g.ravel() for g in jax.tree.leaves(grads)])


def unrolled_gradient(task, state, batches):
  """The derivative of L_val at the weights after a step, written in one."""
  loss = make_loss(task, state, no_term)

  def unrolled(alphas):
    return tiny_search.loss_after_step(
      loss, task.config.weights, RATE, state, alphas, *batches
    )

  grads = jax.grad(unrolled)(state.alphas)
  return jnp.concatenate([g.ravel() for g in jax.tree.leaves(grads)])


def test_differences_of_a_smooth_supernet_err_by_the_square_of_the_step():
  given = problem(toys.TOY.with_nodes(1), 'loop')
  differences = functools.partial(hypergradient, *given, 'second_fd')

  @jax.jit
  def gradients(steps):
    exact = hypergradient(*given, 'second')
    return exact, unrolled_gradient(*given), jax.lax.map(differences, steps)

  exact, unrolled, found = gradients(jnp.array([0.1, 0.05]))
  np.testing.assert_allclose(exact, unrolled, rtol=0, atol=1e-14)
  errors = np.linalg.norm(found - exact, axis=1)
  assert errors[1] > 1e-8  # Far above rounding.
  np.testing.assert_allclose(errors[0] / errors[1], 4, rtol=0.05)


def test_exact_is_what_short_differences_tend_to_between_kinks():
  given = problem(KINKED, 'loop')

  @jax.jit
  def gradients():
    exact = hypergradient(*given, 'second')
    return exact, hypergradient(*given, 'second_fd', 1e-6)

  exact, differences = gradients()
  size = np.abs(exact).max()
  np.testing.assert_allclose(differences, exact, rtol=0, atol=1e-8 * size)


@pytest.mark.parametrize('order', ['first', 'second', 'second_fd'])
def test_double_precision_stays_double(order):
  task, _, batches = problem(KINKED, 'loop')
  config = dataclasses.replace(task.config, order=order)
  task = dataclasses.replace(task, config=config)

  def states():
    mask = tiny_search.mask_of(task.space)
    state = init_state(task, tiny_search.KEY, tiny_search.IMAGE, mask)
    args = np.float64(RATE), *batches, tiny_search.KEY
    return state, search_step(task, state, *args)

  found = {leaf.dtype.name for leaf in jax.tree.leaves(jax.eval_shape(states))}
  assert found == {'float64', 'int32', 'bool'}
