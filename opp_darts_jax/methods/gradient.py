"""The gradient of the validation loss for architecture parameters.

All forward passes are in training mode, and all of those through the state's
own weights move the running averages; the passes through weights that are
looked at and thrown away (the unrolled ones, the finite differences) do not.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.methods.loss import Loss, make_gradient
from opp_darts_jax.methods.state import Batch, Pass, SearchState

FINITE_DIFFERENCE_STEP = 0.01


def second_order_gradient(
  losses: tuple[Loss, Loss],
  config: SearchConfig,
  state: SearchState,
  learning_rate: jax.Array,
  train: Batch,
  val: Batch,
  key: jax.Array,
) -> tuple[Any, Pass]:
  """The gradient at the weights after one SGD step (DARTS, equations 6 to 8).

  w' = w - xi (mu v + grad_w L_train + lambda w), xi the weights' learning rate:
  the gradient of L_val at w' minus xi times the product of L_train's mixed
  second derivative with grad_w' L_val. That product is exact here, one
  derivative of a gradient along a direction; 'second_fd' takes it by central
  differences, as published.

  Args:
    losses: of the supernet, for D_train and D_val.
    config: its `order`, and the optimiser that the unrolled step imitates.
    state: of the search.
    learning_rate: of the weights.
    train: a batch of D_train.
    val: a batch of D_val.
    key: for what draws numbers.

  Returns:
    The gradient; the running averages of the pass through the state's own
    weights, and loss and accuracy on D_val.
  """
  train_loss, val_loss = losses
  train_key, val_key = jax.random.split(key)
  weights, params = state.weights, state.alphas

  def train_gradient(weights, argnum):
    (_, own_pass), grads = make_gradient(train_loss, argnum, config.accumulate)(
      weights, params, train, train_key
    )
    return grads, own_pass

  weight_grads, own_pass = train_gradient(weights, 0)
  velocity = optax.tree.get(state.weight_opt, 'trace')
  unrolled = jax.tree.map(
    lambda w, v, g: (
      w
      - learning_rate
      * (config.weights.momentum * v + g + config.weights.weight_decay * w)
    ),
    weights,
    velocity,
    weight_grads,
  )
  (_, found), (direction, grads) = make_gradient(
    val_loss, (0, 1), config.accumulate
  )(unrolled, params, val, val_key)

  def along(weights):
    return train_gradient(weights, 1)[0]

  product = _mixed_product(config.order, along, weights, direction)
  grads = jax.tree.map(lambda g, p: g - learning_rate * p, grads, product)
  return grads, found._replace(batch_stats=own_pass.batch_stats)


def _mixed_product(
  order: str, gradient: Callable[[Any], Any], weights: Any, direction: Any
) -> Any:
  """The derivative of a gradient along a direction of the weights."""
  if order == 'second':
    return jax.jvp(gradient, (weights,), (direction,))[1]
  step = FINITE_DIFFERENCE_STEP / optax.tree.norm(direction)
  ends = jax.lax.map(
    lambda sign: gradient(
      jax.tree.map(lambda w, d: w + sign * step * d, weights, direction)
    ),
    jnp.array([1.0, -1.0]),
  )
  return jax.tree.map(lambda g: (g[0] - g[1]) / (2 * step), ends)
