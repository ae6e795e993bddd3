"""The gradient of the validation loss for architecture parameters.

All forward passes are in training mode. As in the published code, those on
D_train move the running averages: the one at the state's own weights, then,
where there are any, those at both ends of the finite differences. The pass
through the unrolled weights moves none.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.methods.loss import Loss, make_gradient
from opp_darts_jax.methods.state import Batch, Pass, SearchState

# (running averages, weights) -> the averages after the pass, the gradient.
Gradient = Callable[[Any, Any], tuple[Any, Any]]

FINITE_DIFFERENCE_STEP = 0.01


def second_order_gradient(
  losses: tuple[Callable[[Any], Loss], Callable[[Any], Loss]],
  config: SearchConfig,
  state: SearchState,
  learning_rate: jax.Array,
  train: Batch,
  val: Batch,
  key: jax.Array,
  moving: Callable[[Any], Any] = lambda tree: tree,
) -> tuple[Any, Pass]:
  """The gradient at the weights after one SGD step (DARTS, equations 6 to 8).

  w' = w - xi (mu v + grad_w L_train + lambda w), xi the weights' learning rate:
  the gradient of L_val at w' minus xi times the product of L_train's mixed
  second derivative with grad_w' L_val. That product is exact here, one
  derivative of a gradient along a direction; 'second_fd' takes it by central
  differences, as published.

  Args:
    losses: of the supernet, for D_train and D_val; each of the running averages
      that its pass moves.
    config: its `order`, and the optimiser that the unrolled step imitates.
    state: of the search.
    learning_rate: of the weights.
    train: a batch of D_train.
    val: a batch of D_val.
    key: for what draws numbers.
    moving: a tree of the weights' structure -> the same, but 0 for weights that
      a step does not move.

  Returns:
    The gradient; the running averages after the passes on D_train, and loss
    and accuracy on D_val.
  """
  train_loss, val_loss = losses
  train_key, val_key = jax.random.split(key)
  params = state.alphas

  def train_gradient(argnum, batch_stats, weights):
    gradient = make_gradient(train_loss(batch_stats), argnum, config.accumulate)
    (_, own_pass), grads = gradient(weights, params, train, train_key)
    return own_pass.batch_stats, grads

  batch_stats, weight_grads = train_gradient(
    0, state.batch_stats, state.weights
  )
  velocity = optax.tree.get(state.weight_opt, 'trace')
  updates = jax.tree.map(
    lambda w, v, g: (
      config.weights.momentum * v + g + config.weights.weight_decay * w
    ),
    state.weights,
    velocity,
    weight_grads,
  )
  unrolled = jax.tree.map(
    lambda w, u: w - learning_rate * u, state.weights, moving(updates)
  )
  (_, found), (direction, grads) = make_gradient(
    val_loss(state.batch_stats), (0, 1), config.accumulate
  )(unrolled, params, val, val_key)
  product = exact_product if config.order == 'second' else difference_product
  batch_stats, products = product(
    functools.partial(train_gradient, 1),
    batch_stats,
    state.weights,
    moving(direction),
  )
  grads = jax.tree.map(lambda g, p: g - learning_rate * p, grads, products)
  return grads, found._replace(batch_stats=batch_stats)


def exact_product(
  gradient: Gradient, batch_stats: Any, weights: Any, direction: Any
) -> tuple[Any, Any]:
  """The derivative of a gradient along a direction of the weights.

  Returns:
    The running averages as they are given, and the derivative.
  """

  def along(weights):
    return gradient(batch_stats, weights)[1]

  return batch_stats, jax.jvp(along, (weights,), (direction,))[1]


def difference_product(
  gradient: Gradient, batch_stats: Any, weights: Any, direction: Any
) -> tuple[Any, Any]:
  """The derivative by a central difference of the published length.

  A ReLU or a maximum that switches between its ends counts with the jump of the
  gradient there; the exact derivative has no such part.

  Returns:
    The running averages after the passes at both ends, and the derivative.
  """
  step = FINITE_DIFFERENCE_STEP / optax.tree.norm(direction)

  def end(batch_stats, offset):
    moved = jax.tree.map(lambda w, d: w + offset * d, weights, direction)
    return gradient(batch_stats, moved)

  offsets = jnp.stack([step, -step])
  batch_stats, ends = jax.lax.scan(end, batch_stats, offsets)
  return batch_stats, jax.tree.map(lambda g: (g[0] - g[1]) / (2 * step), ends)
