"""The steps of a search: parameters on D_val, weights on D_train.

One step is an alpha step, then a weight step (DARTS, algorithm 1).
"""

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
from opp_darts_jax.methods.state import Batch, Metrics, Pass, SearchState

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
    own=task.method.init_own(task.space),
  )


def search_step(
  task: Task,
  state: SearchState,
  learning_rate: jax.Array,
  train: Batch,
  val: Batch,
  key: jax.Array,
) -> tuple[SearchState, Metrics]:
  """One alpha step on `val`, and one weight step on `train`.

  The batches must be of the same shapes.
  """
  config, method = task.config, task.method
  alpha_key, weight_key = jax.random.split(key)
  args = learning_rate, train, val

  def alphas_move(state):
    return alpha_step(task, state, *args, alpha_key)

  def weights_move(state):
    return weight_step(task, state, *args, weight_key)

  if method.single_level:
    state, train_pass = _single_level_step(
      task, state, learning_rate, train, weight_key
    )
    val_pass = _no_pass(state)
  elif (
    config.order == 'first'
    and method.weight_gradient is None
    and jax.default_backend() == 'cpu'
  ):
    # The key that an alpha step of first order takes, too.
    val_key = jax.random.split(alpha_key)[1]
    state, val_pass, train_pass = _looped_step(
      task, state, learning_rate, (val, val_key), (train, weight_key)
    )
  elif method.weights_first:
    state, train_pass = weights_move(state)
    state, val_pass = _if_trained(task, state, alphas_move)
  else:
    state, val_pass = _if_trained(task, state, alphas_move)
    state, train_pass = weights_move(state)
  metrics = Metrics(
    train_pass.loss, train_pass.accuracy, val_pass.loss, val_pass.accuracy
  )
  return state.replace(step=state.step + 1), metrics


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
    move = functools.partial(_move_alphas, task)
    return _half_step(task, state, val, val_key, 1, method.val_term, move)
  losses = (
    make_loss(task, state, method.train_term),
    make_loss(task, state, method.val_term),
  )
  grads, found = second_order_gradient(
    losses, config, state, learning_rate, train, val, key
  )
  state = state.replace(batch_stats=found.batch_stats)
  return _move_alphas(task, state, grads), found


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
    move = functools.partial(_move_weights, task, learning_rate)
    return _half_step(task, state, train, key, 0, method.train_term, move)
  draw = task.draw(state, key)
  tables = task.tables(state.alphas, state.mask, draw)
  loss = table_loss(task, state.batch_stats, state.mask)

  def gradient(argnum, batch):
    taken = make_gradient(loss, argnum, task.config.accumulate)
    return lambda tables: taken(state.weights, tables, batch, key)

  gradients = Gradients(
    weights=gradient(0, train),
    tables=lambda tables: gradient(1, train)(tables)[1],
    validation=lambda tables: gradient(0, val)(tables)[1],
  )
  (_, found), grads, own = method.weight_gradient(
    gradients, tables, state.own, draw
  )
  state = state.replace(batch_stats=found.batch_stats, own=own)
  return _move_weights(task, learning_rate, state, grads), found


def _half_step(
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


def _looped_step(
  task: Task,
  state: SearchState,
  learning_rate: jax.Array,
  val: tuple[Batch, jax.Array],
  train: tuple[Batch, jax.Array],
) -> tuple[SearchState, Pass, Pass]:
  """Both halves as two turns of a loop, whose gradient is compiled once.

  For CPU, where compiling takes long; the alpha step computes gradients for the
  weights in vain, which a GPU would do at every one of many more steps.

  Args:
    task: of the search.
    state: of it.
    learning_rate: of the weights.
    val: a batch of D_val and the key of its pass.
    train: a batch of D_train, likewise.

  Returns:
    The state, and what the passes on D_val and D_train left.
  """
  method = task.method
  own_turn = 1 if method.weights_first else 0
  turns = (train, val) if method.weights_first else (val, train)
  stacked = jax.tree.map(lambda *t: jnp.stack(t), *turns)

  def turn(i, carry):
    state, losses, accuracies = carry
    batch, key = jax.tree.map(lambda t: t[i], stacked)

    def term(*args):
      if method.val_term is method.train_term:
        return method.val_term(*args)
      return jnp.where(
        i == own_turn, method.val_term(*args), method.train_term(*args)
      )

    def move(state, grads):
      return jax.lax.cond(
        i == own_turn,
        lambda state: _move_alphas(task, state, grads[1]),
        lambda state: _move_weights(task, learning_rate, state, grads[0]),
        state,
      )

    state, found = _half_step(task, state, batch, key, (0, 1), term, move)
    return (
      state,
      losses.at[i].set(found.loss),
      accuracies.at[i].set(found.accuracy),
    )

  first, end = 0, 2
  if method.trains_alphas is not None:
    rests = ~method.trains_alphas(task.progress(state.step))
    skipped = jnp.asarray(rests, jnp.int32)
    first, end = (0, 2 - skipped) if own_turn else (skipped, 2)
  unknown = jnp.full(2, jnp.nan)
  state, losses, accuracies = jax.lax.fori_loop(
    first, end, turn, (state, unknown, unknown)
  )
  passes = [Pass(state.batch_stats, losses[i], accuracies[i]) for i in range(2)]
  return state, passes[own_turn], passes[1 - own_turn]


def _single_level_step(
  task: Task,
  state: SearchState,
  learning_rate: jax.Array,
  train: Batch,
  key: jax.Array,
) -> tuple[SearchState, Pass]:
  """Weights and parameters move at once, down one loss."""

  def move(state, grads):
    moved = _move_alphas(task, state, grads[1])
    return _move_weights(task, learning_rate, moved, grads[0])

  term = task.method.train_term
  return _half_step(task, state, train, key, (0, 1), term, move)


def _if_trained(
  task: Task,
  state: SearchState,
  alphas_move: Callable[[SearchState], tuple[SearchState, Pass]],
) -> tuple[SearchState, Pass]:
  """The alpha step, unless the method lets the parameters rest now."""
  if task.method.trains_alphas is None:
    return alphas_move(state)
  return jax.lax.cond(
    task.method.trains_alphas(task.progress(state.step)),
    alphas_move,
    lambda state: (state, _no_pass(state)),
    state,
  )


def _no_pass(state: SearchState) -> Pass:
  unknown = jnp.full((), jnp.nan)
  return Pass(state.batch_stats, unknown, unknown)


def _move_alphas(task: Task, state: SearchState, grads: Any) -> SearchState:
  trained = task.method.trained(state.alphas, state.mask)
  updates, alpha_opt = alpha_optimizer(task.config.alphas).update(
    grads, state.alpha_opt, state.alphas, mask=trained
  )
  alphas = optax.apply_updates(state.alphas, updates)
  return state.replace(alphas=alphas, alpha_opt=alpha_opt)


def _move_weights(
  task: Task, learning_rate: jax.Array, state: SearchState, grads: Any
) -> SearchState:
  updates, weight_opt = weight_optimizer(task.config.weights).update(
    grads, state.weight_opt, state.weights
  )
  if task.method.moves is not None:
    updates = zero_where_not(
      task.method.moves(state.own, state.weights), updates
    )
  weights = jax.tree.map(
    lambda w, u: w - learning_rate * u, state.weights, updates
  )
  return state.replace(weights=weights, weight_opt=weight_opt)
