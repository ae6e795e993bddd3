"""The steps of a search: parameters on D_val, weights on D_train.

One step is an alpha step, then a weight step (DARTS, algorithm 1).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from opp_darts_jax.methods.halves import (
  alpha_step,
  half_step,
  move_alphas,
  move_weights,
  weight_step,
)
from opp_darts_jax.methods.loss import Task
from opp_darts_jax.methods.state import Batch, Metrics, Pass, SearchState
from opp_darts_jax.operations.target import current


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

  def alphas_rest(state):
    return state, _no_pass(state)

  def weights_move(state):
    return weight_step(task, state, *args, weight_key)

  if method.single_level:
    state, train_pass = _single_level_step(task, state, *args, weight_key)
    val_pass = _no_pass(state)
  elif (
    config.order == 'first'
    and method.weight_gradient is None
    and current().platform == 'cpu'
  ):
    # The key that an alpha step of first order takes, too.
    val_key = jax.random.split(alpha_key)[1]
    state, val_pass, train_pass = _looped_step(
      task, state, learning_rate, (val, val_key), (train, weight_key)
    )
  elif method.weights_first:
    state, train_pass = weights_move(state)
    state, val_pass = _if_trained(task, state, alphas_move, alphas_rest)
  else:
    state, val_pass = _if_trained(task, state, alphas_move, alphas_rest)
    state, train_pass = weights_move(state)
  metrics = Metrics(
    train_pass.loss, train_pass.accuracy, val_pass.loss, val_pass.accuracy
  )
  return state.replace(step=state.step + 1), metrics


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
      # Not by `where`: a gradient of the other that is not finite would count.
      return jax.lax.cond(
        i == own_turn,
        lambda: jnp.asarray(method.val_term(*args), float),
        lambda: jnp.asarray(method.train_term(*args), float),
      )

    def move(state, grads):
      return jax.lax.cond(
        i == own_turn,
        lambda state: move_alphas(task, state, grads[1]),
        lambda state: move_weights(task, learning_rate, state, grads[0]),
        state,
      )

    state, found = half_step(task, state, batch, key, (0, 1), term, move)
    return (
      state,
      losses.at[i].set(found.loss),
      accuracies.at[i].set(found.accuracy),
    )

  first: Any = 0
  end: Any = 2
  if method.trains_alphas is not None:
    # Also of a plain truth value, whose ~ is a number.
    rests = jnp.logical_not(method.trains_alphas(task.progress(state.step)))
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
  val: Batch,
  key: jax.Array,
) -> tuple[SearchState, Pass]:
  """Weights and parameters move at once, down one loss.

  A gradient for the weights that is the method's own is taken apart.
  """

  def move_parameters(state, grads):
    return _if_trained(
      task,
      state,
      lambda state: move_alphas(task, state, grads),
      lambda state: state,
    )

  def move_both(state, grads):
    moved = move_parameters(state, grads[1])
    return move_weights(task, learning_rate, moved, grads[0])

  term = task.method.train_term
  if task.method.weight_gradient is None:
    return half_step(task, state, train, key, (0, 1), term, move_both)
  by, _ = half_step(task, state, train, key, 1, term, move_parameters)
  state, found = weight_step(task, state, learning_rate, train, val, key)
  return state.replace(alphas=by.alphas, alpha_opt=by.alpha_opt), found


def _if_trained(
  task: Task,
  state: SearchState,
  move: Callable[[SearchState], Any],
  rest: Callable[[SearchState], Any],
) -> Any:
  """What moves the parameters or, while the method lets them rest, `rest`."""
  if task.method.trains_alphas is None:
    return move(state)
  return jax.lax.cond(
    task.method.trains_alphas(task.progress(state.step)),
    move,
    rest,
    state,
  )


def _no_pass(state: SearchState) -> Pass:
  unknown = jnp.full((), jnp.nan)
  return Pass(state.batch_stats, unknown, unknown)
