"""The halves of a step: what moves parameters, and what moves weights."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from opp_darts_jax.methods.gradient import second_order_gradient
from opp_darts_jax.methods.loss import (
  Task,
  make_gradient,
  make_loss,
  table_loss,
)
from opp_darts_jax.methods.method import Gradients, Term
from opp_darts_jax.methods.optimizers import (
  alpha_optimizer,
  weight_optimizer,
  zero_where_not,
)
from opp_darts_jax.methods.state import Batch, Pass, SearchState

# (state, gradient) -> state.
Move = Callable[[SearchState, Any], SearchState]


def init_state(
  task: Task, key: jax.Array, image_shape: tuple[int, ...], mask: Any
) -> SearchState:
  """A fresh state with weights and alphas of every operation of the space.

  Args:
    task: of the search.
    key: decides weights and parameters.
    image_shape: (H, W, C).
    mask: which operations are active.
  """
  config = task.config
  weight_key, alpha_key = jax.random.split(key)
  params = task.method.init(alpha_key, task.space)
  images = jnp.zeros((1, *image_shape))
  # XLA's own generator: dozens of threefry streams take long to compile.
  weight_key = jax.random.key(jax.random.bits(weight_key), impl='rbg')
  whole = task.supernet_mask(mask)
  tables = jax.tree.map(lambda m: jnp.zeros(m.shape), whole)
  variables = task.model.init(weight_key, images, tables, whole, train=True)
  weights = variables['params']
  return SearchState(
    step=jnp.zeros((), jnp.int32),
    weights=weights,
    batch_stats=variables['batch_stats'],
    alphas=params,
    mask=mask,
    weight_opt=weight_optimizer(config.weights).init(weights),
    alpha_opt=alpha_optimizer(config.alphas).init(params),
    own=task.method.init_own(task.space, weights),
  )


def alpha_step(
  task: Task,
  state: SearchState,
  learning_rate: jax.Array,
  train: Batch,
  val: Batch,
  key: jax.Array,
) -> tuple[SearchState, Pass]:
  """A step of Adam down the gradient of the validation loss.

  First order takes the weights as they are; second order as they would be after
  a step (gradient.py).
  """
  config, method = task.config, task.method
  if config.order == 'first':
    val_key = jax.random.split(key)[1]
    move = functools.partial(move_alphas, task)
    return half_step(task, state, val, val_key, 1, method.val_term, move)

  def loss_with(term):
    return lambda batch_stats: make_loss(
      task, state.replace(batch_stats=batch_stats), term
    )

  losses = loss_with(method.train_term), loss_with(method.val_term)
  moving = functools.partial(_of_moving, task, state)
  grads, found = second_order_gradient(
    losses, config, state, learning_rate, train, val, key, moving
  )
  state = state.replace(batch_stats=found.batch_stats)
  return move_alphas(task, state, grads), found


def weight_step(
  task: Task,
  state: SearchState,
  learning_rate: jax.Array,
  train: Batch,
  val: Batch,
  key: jax.Array,
) -> tuple[SearchState, Pass]:
  """A step of SGD for the weights, down the gradient that the method takes."""
  method = task.method
  if method.weight_gradient is None:
    move = functools.partial(move_weights, task, learning_rate)
    return half_step(task, state, train, key, 0, method.train_term, move)
  draw = task.draw(state, key)
  tables = task.tables(state.alphas, state.mask, draw)
  loss = table_loss(task, state.batch_stats, state.mask)

  def gradient(argnum, batch):
    taken = make_gradient(loss, argnum, task.config.accumulate)
    return lambda tables: taken(state.weights, tables, batch, key)

  def by_tables(loss, tables):
    taken = make_gradient(loss, 1, task.config.accumulate)
    (value, _), grads = taken(state.weights, tables, train, key)
    # What edges share has a gradient for those on which it is not active, too.
    return value, zero_where_not(task.supernet_mask(state.mask), grads)

  def evaluated(tables):
    by_averages = table_loss(task, state.batch_stats, state.mask, train=False)
    return by_tables(by_averages, tables)

  gradients = Gradients(
    weights=gradient(0, train),
    tables=lambda tables: by_tables(loss, tables)[1],
    evaluated=evaluated,
    validation=lambda tables: gradient(0, val)(tables)[1],
  )
  (_, found), grads, own = method.weight_gradient(
    gradients, tables, state.own, draw
  )
  state = state.replace(batch_stats=found.batch_stats, own=own)
  return move_weights(task, learning_rate, state, grads), found


def half_step(
  task: Task,
  state: SearchState,
  batch: Batch,
  key: jax.Array,
  argnums: int | tuple[int, int],
  term: Term,
  move: Move,
) -> tuple[SearchState, Pass]:
  """One pass over a batch, its gradient, and what moves by it.

  Args:
    task: of the search.
    state: of it.
    batch: of either half.
    key: of the pass.
    argnums: of the gradient: 0 for the weights, 1 for the parameters.
    term: what is added to the loss.
    move: (state, gradient) -> state.
  """
  loss = make_loss(task, state, term)
  gradient = make_gradient(loss, argnums, task.config.accumulate)
  (_, found), grads = gradient(state.weights, state.alphas, batch, key)
  return move(state.replace(batch_stats=found.batch_stats), grads), found


def move_alphas(task: Task, state: SearchState, grads: Any) -> SearchState:
  """Adam's step by a gradient, of the parameters that the method trains."""
  trained = task.method.trained(state.alphas, state.mask)
  updates, alpha_opt = alpha_optimizer(task.config.alphas).update(
    grads, state.alpha_opt, state.alphas, mask=trained
  )
  moved = optax.apply_updates(state.alphas, updates)
  # Moments would move on what was trained until now. The updates are not masked
  # instead: sums and products of active alphas would round otherwise.
  alphas = jax.tree.map(jnp.where, trained, moved, state.alphas)
  return state.replace(alphas=alphas, alpha_opt=alpha_opt)


def move_weights(
  task: Task, learning_rate: jax.Array, state: SearchState, grads: Any
) -> SearchState:
  """SGD's step by a gradient, of the weights that the method lets move."""
  moving = functools.partial(_of_moving, task, state)
  # What rests has no say in the norm that is clipped, and does not decay.
  updates, weight_opt = weight_optimizer(task.config.weights).update(
    moving(grads), state.weight_opt, state.weights
  )
  weights = jax.tree.map(
    lambda w, u: w - learning_rate * u, state.weights, moving(updates)
  )
  return state.replace(weights=weights, weight_opt=weight_opt)


def _of_moving(task: Task, state: SearchState, tree: Any) -> Any:
  """A tree of the weights' structure, but 0 for those that rest."""
  moves = task.method.moves
  if moves is None:
    return tree
  return zero_where_not(moves(state.own, state.weights), tree)
