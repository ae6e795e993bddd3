"""Tests of the alpha step's gradient, of second order."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_search

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.methods.gradient import second_order_gradient
from opp_darts_jax.methods.optimizers import weight_optimizer
from opp_darts_jax.methods.state import Batch, Pass

RATE = 0.1
TRAIN, VAL = Batch(np.float32(0), None), Batch(np.float32(1), None)
KEY = jax.random.key(0)


class State(NamedTuple):
  """What the gradient reads of a search's state."""

  weights: Any
  alphas: Any
  batch_stats: Any
  weight_opt: Any


def problem(curvature):
  """A small bilevel problem: (loss, state, A, b, velocity).

  L_train = |w - A alpha|^2 / 2 + curvature * sum((w A alpha)^2) / 2 and
  L_val = |w - b|^2 / 2; with curvature 0 the step has a closed form.
  """
  numbers = np.random.default_rng(1)

  def drawn(*shape):
    return np.float32(numbers.standard_normal(shape))

  matrix, target = drawn(3, 4), drawn(3)
  weights, alphas, velocity = {'w': drawn(3)}, {'normal': drawn(4)}, drawn(3)

  def loss(weights, alphas, batch, key):
    del key
    w, image = weights['w'], matrix @ alphas['normal']
    train = ((w - image) ** 2).sum() / 2
    train += curvature * ((w * image) ** 2).sum() / 2
    val = ((w - target) ** 2).sum() / 2
    value = jnp.where(batch.images == 0, train, val)
    return value, Pass({}, value, value)

  opt = weight_optimizer(SearchConfig().weights).init(weights)
  opt = optax.tree.set(opt, trace={'w': velocity})
  return loss, State(weights, alphas, {}, opt), matrix, target, velocity


def gradient_of(losses, order, state, rate=RATE, **moving):
  """What `second_order_gradient` returns."""
  config = SearchConfig(order=order)

  @jax.jit
  def run(state):
    return second_order_gradient(
      losses, config, state, rate, TRAIN, VAL, KEY, **moving
    )

  return jax.device_get(run(state))


def alpha_gradient(order, loss, state):
  grads, _ = gradient_of((lambda batch_stats: loss,) * 2, order, state)
  return grads['normal']


def unrolled(loss, state, alphas):
  """L_val at the weights after a step, written as one function of alpha."""
  return tiny_search.loss_after_step(
    loss, SearchConfig().weights, RATE, state, alphas, TRAIN, VAL, KEY
  )


# All weights, or some that rest: they are not unrolled.
@pytest.mark.parametrize('moves', [(True, True, True), (True, False, True)])
@pytest.mark.parametrize('order', ['second', 'second_fd'])
def test_second_order_closed_form(order, moves):
  loss, state, matrix, target, velocity = problem(curvature=0.0)
  settings = SearchConfig().weights
  w, alpha, moves = state.weights['w'], state.alphas['normal'], np.array(moves)
  step = settings.momentum * velocity + settings.weight_decay * w
  moved = w - RATE * moves * (step + w - matrix @ alpha)
  want = RATE * matrix.T @ (moves * (moved - target))
  resting = {
    'moving': lambda tree: jax.tree.map(lambda t: jnp.where(moves, t, 0), tree)
  }
  grads, found = gradient_of(
    (lambda batch_stats: loss,) * 2,
    order,
    state,
    **({} if moves.all() else resting),
  )
  tolerance = 1e-5 if order == 'second' else 1e-3
  np.testing.assert_allclose(grads['normal'], want, tolerance, tolerance)
  value = ((moved - target) ** 2).sum() / 2
  np.testing.assert_allclose(found.loss, value, rtol=1e-5)


def test_second_order_is_the_gradient_of_the_unrolled_loss():
  loss, state, *_ = problem(curvature=0.5)
  value = functools.partial(unrolled, loss, state)
  got = alpha_gradient('second', loss, state)
  want = jax.jit(jax.grad(value))(state.alphas)['normal']
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
  value, step = jax.jit(value), 1e-2
  for i, direction in enumerate(np.eye(4, dtype=np.float32)):
    ends = [
      float(value({'normal': state.alphas['normal'] + sign * step * direction}))
      for sign in (1, -1)
    ]
    difference = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(got[i], difference, rtol=1e-2, atol=1e-3)


def test_a_step_of_no_length_is_first_order():
  loss, state, *_ = problem(curvature=0.5)

  def loss_of_alphas(weights, params, batch, key):
    value, found = loss(weights, params, batch, key)
    return value + (params['normal'] ** 2).sum(), found

  grads, found = gradient_of(
    (lambda batch_stats: loss_of_alphas,) * 2, 'second', state, rate=0.0
  )
  args = state.weights, state.alphas, VAL, KEY
  want, own = jax.jit(jax.grad(loss_of_alphas, 1, has_aux=True))(*args)
  np.testing.assert_allclose(grads['normal'], want['normal'], rtol=1e-6)
  # The pass gives the loss without what is added.
  np.testing.assert_allclose(found.loss, own.loss, rtol=1e-6)


@pytest.mark.parametrize('order', ['second', 'second_fd'])
def test_terms_of_both_losses_count(order):
  # A term of the parameters alone is no part of the mixed derivative.
  loss, state, *_ = problem(curvature=0.0)

  def with_term(factor):
    def total(weights, params, batch, key):
      value, found = loss(weights, params, batch, key)
      return value + factor * (params['normal'] ** 2).sum(), found

    return lambda batch_stats: total

  plain, found = gradient_of((with_term(0.0),) * 2, order, state)
  both, again = gradient_of((with_term(7.0), with_term(3.0)), order, state)
  tolerance = 1e-5 if order == 'second' else 1e-3
  np.testing.assert_allclose(
    both['normal'],
    plain['normal'] + 6.0 * state.alphas['normal'],
    rtol=tolerance,
    atol=tolerance,
  )
  assert found.loss == again.loss


@pytest.mark.parametrize(('order', 'passes'), [('second', 1), ('second_fd', 3)])
def test_passes_on_the_training_batch_move_the_running_averages(order, passes):
  loss, state, matrix, target, velocity = problem(curvature=0.0)

  def averaging(average):
    def with_average(weights, params, batch, key):
      value, found = loss(weights, params, batch, key)
      moved = 0.9 * average + 0.1 * weights['w']
      return value, found._replace(batch_stats=moved)

    return with_average

  state = state._replace(batch_stats=np.zeros(3, np.float32))
  _, found = gradient_of((averaging, averaging), order, state)
  w, alpha = state.weights['w'], state.alphas['normal']
  settings = SearchConfig().weights
  step = settings.momentum * velocity + settings.weight_decay * w
  direction = w - RATE * (step + w - matrix @ alpha) - target
  end = 0.01 * direction / np.linalg.norm(direction)
  want = np.zeros(3)
  for offset in (0.0, end, -end)[:passes]:
    want = 0.9 * want + 0.1 * (w + offset)
  np.testing.assert_allclose(found.batch_stats, want, rtol=1e-5)
