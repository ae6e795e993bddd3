"""The search's state and its pure steps: alpha on D_val, weights on D_train.

One step is an alpha step, then a weight step (DARTS, algorithm 1). All forward
passes are in training mode, and all of those through the state's own weights
move the running averages; the passes through weights that are looked at and
thrown away (the unrolled ones, the finite differences) do not.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import optax
from flax import struct

from opp_darts_jax.config import SearchConfig, WeightOptimizerConfig
from opp_darts_jax.methods import architecture
from opp_darts_jax.methods.accumulate import mean_over_parts
from opp_darts_jax.methods.architecture import Tables
from opp_darts_jax.supernet.supernet import Supernet

FINITE_DIFFERENCE_STEP = 0.01


class SearchState(struct.PyTreeNode):
  """Everything that a search's steps change.

  Attributes:
    step: steps taken.
    weights: of the supernet's active operations, and of what surrounds them.
    batch_stats: running averages of its norms.
    alphas: {'normal': (E, K), 'reduce': (E, K)}, K all operations.
    mask: the same shapes, bool: which operations are active.
    weight_opt: state of SGD.
    alpha_opt: state of Adam.
  """

  step: jax.Array
  weights: Any
  batch_stats: Any
  alphas: Tables
  mask: Tables
  weight_opt: optax.OptState
  alpha_opt: optax.OptState


class Batch(NamedTuple):
  """Images (B, H, W, C), float, normalised; labels (B,), int."""

  images: jax.Array
  labels: jax.Array


class Metrics(NamedTuple):
  """Mean loss and accuracy (a fraction) on the batches of a step."""

  train_loss: jax.Array
  train_accuracy: jax.Array
  val_loss: jax.Array
  val_accuracy: jax.Array

  @classmethod
  def zeros(cls) -> Self:
    """The sums before the first step."""
    return cls(*[jnp.zeros(())] * len(cls._fields))


class Pass(NamedTuple):
  """What a forward pass leaves besides its loss."""

  batch_stats: Any
  accuracy: jax.Array


Loss = Callable[[Any, Tables, Batch, jax.Array], tuple[jax.Array, Pass]]


def weight_optimizer(
  config: WeightOptimizerConfig,
) -> optax.GradientTransformation:
  """SGD as PyTorch's after clipping; the caller applies the learning rate."""
  return optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    optax.add_decayed_weights(config.weight_decay),
    optax.trace(config.momentum),
  )


def init_state(
  model: Supernet,
  config: SearchConfig,
  key: jax.Array,
  image_shape: tuple[int, ...],
  mask: Tables,
) -> SearchState:
  """A fresh state with weights and alphas of every operation of the space.

  Args:
    model: the supernet.
    config: of the search.
    key: decides weights and alphas.
    image_shape: (H, W, C).
    mask: which operations are active.
  """
  weight_key, alpha_key = jax.random.split(key)
  edges, operations = mask['normal'].shape
  alphas = architecture.init_alphas(alpha_key, edges, operations)
  images = jnp.zeros((1, *image_shape))
  # XLA's own generator: dozens of threefry streams take long to compile.
  weight_key = jax.random.key(jax.random.bits(weight_key), impl='rbg')
  variables = model.init(weight_key, images, alphas, mask, train=True)
  weights = variables['params']
  return SearchState(
    step=jnp.zeros((), jnp.int32),
    weights=weights,
    batch_stats=variables['batch_stats'],
    alphas=alphas,
    mask=mask,
    weight_opt=weight_optimizer(config.weights).init(weights),
    alpha_opt=architecture.alpha_optimizer(config.alphas).init(alphas),
  )


def make_loss(
  model: Supernet, batch_stats: Any, mask: Tables, train: bool = True
) -> Loss:
  """(weights, alphas, batch, key) -> mean cross entropy, and a `Pass`."""

  def loss(weights, alphas, batch, key):
    logits, changed = model.apply(
      {'params': weights, 'batch_stats': batch_stats},
      batch.images,
      alphas,
      mask,
      train,
      key,
      mutable=['batch_stats'],
    )
    losses = optax.softmax_cross_entropy_with_integer_labels(
      logits, batch.labels
    )
    right = (logits.argmax(-1) == batch.labels).mean()
    return losses.mean(), Pass(changed['batch_stats'], right)

  return loss


def make_gradient(
  loss: Loss, argnums: int | tuple[int, ...], parts: int
) -> Callable[..., tuple[tuple[jax.Array, Pass], Any]]:
  """`jax.value_and_grad` of a loss, as the mean over parts of the batch."""
  gradient = jax.value_and_grad(loss, argnums, has_aux=True)
  return mean_over_parts(gradient, parts, batch_argnums=(2,), key_argnum=3)


def alpha_gradient(
  loss: Loss,
  config: SearchConfig,
  state: SearchState,
  learning_rate: jax.Array,
  train: Batch,
  val: Batch,
  key: jax.Array,
) -> tuple[Tables, jax.Array, jax.Array, Any]:
  """The gradient of the validation loss with respect to alpha.

  First order takes the weights as they are. Second order takes the weights
  after one SGD step, w' = w - xi (mu v + grad_w L_train + lambda w), xi the
  weights' learning rate (DARTS, equations 6 to 8): the gradient at w' minus
  xi times the product of L_train's mixed second derivative with grad_w' L_val.
  That product is exact here, one derivative of a gradient along a direction;
  'second_fd' takes it by central differences, as published.

  Args:
    loss: of the supernet.
    config: its `order`, and the optimiser that the unrolled step imitates.
    state: of the search.
    learning_rate: of the weights.
    train: a batch of D_train; unused at first order.
    val: a batch of D_val.
    key: for operations that draw numbers.

  Returns:
    The gradient, loss and accuracy on D_val, and the moved running averages.
  """
  train_key, val_key = jax.random.split(key)
  weights, alphas = state.weights, state.alphas
  if config.order == 'first':
    (value, aux), grads = make_gradient(loss, 1, config.accumulate)(
      weights, alphas, val, val_key
    )
    return grads, value, aux.accuracy, aux.batch_stats

  def train_gradient(weights, argnum):
    (_, own_pass), grads = make_gradient(loss, argnum, config.accumulate)(
      weights, alphas, train, train_key
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
  (value, aux), (direction, grads) = make_gradient(
    loss, (0, 1), config.accumulate
  )(unrolled, alphas, val, val_key)
  if config.order == 'second':
    _, product = jax.jvp(
      lambda w: train_gradient(w, 1)[0], (weights,), (direction,)
    )
  else:
    step = FINITE_DIFFERENCE_STEP / optax.tree.norm(direction)
    ends = jax.lax.map(
      lambda sign: train_gradient(
        jax.tree.map(lambda w, d: w + sign * step * d, weights, direction), 1
      )[0],
      jnp.array([1.0, -1.0]),
    )
    product = jax.tree.map(lambda g: (g[0] - g[1]) / (2 * step), ends)
  grads = jax.tree.map(lambda g, p: g - learning_rate * p, grads, product)
  return grads, value, aux.accuracy, own_pass.batch_stats


def alpha_step(
  model: Supernet,
  config: SearchConfig,
  state: SearchState,
  learning_rate: jax.Array,
  train: Batch,
  val: Batch,
  key: jax.Array,
) -> tuple[SearchState, jax.Array, jax.Array]:
  """A step of Adam down the gradient of `alpha_gradient`.

  Returns:
    The state, and loss and accuracy on `val`.
  """
  loss = make_loss(model, state.batch_stats, state.mask)
  grads, value, accuracy, batch_stats = alpha_gradient(
    loss, config, state, learning_rate, train, val, key
  )
  state = _move_alphas(config, state.replace(batch_stats=batch_stats), grads)
  return state, value, accuracy


def _move_alphas(
  config: SearchConfig, state: SearchState, grads: Tables
) -> SearchState:
  updates, alpha_opt = architecture.alpha_optimizer(config.alphas).update(
    grads, state.alpha_opt, state.alphas, mask=state.mask
  )
  alphas = optax.apply_updates(state.alphas, updates)
  return state.replace(alphas=alphas, alpha_opt=alpha_opt)


def weight_step(
  model: Supernet,
  config: SearchConfig,
  state: SearchState,
  learning_rate: jax.Array,
  batch: Batch,
  key: jax.Array,
) -> tuple[SearchState, jax.Array, jax.Array]:
  """A step of SGD for the weights.

  Returns:
    The state, and loss and accuracy on `batch`.
  """
  loss = make_loss(model, state.batch_stats, state.mask)
  (value, aux), grads = make_gradient(loss, 0, config.accumulate)(
    state.weights, state.alphas, batch, key
  )
  state = state.replace(batch_stats=aux.batch_stats)
  state = _move_weights(config, state, learning_rate, grads)
  return state, value, aux.accuracy


def _move_weights(
  config: SearchConfig,
  state: SearchState,
  learning_rate: jax.Array,
  grads: Any,
) -> SearchState:
  updates, weight_opt = weight_optimizer(config.weights).update(
    grads, state.weight_opt, state.weights
  )
  weights = jax.tree.map(
    lambda w, u: w - learning_rate * u, state.weights, updates
  )
  return state.replace(weights=weights, weight_opt=weight_opt)


def search_step(
  model: Supernet,
  config: SearchConfig,
  state: SearchState,
  learning_rate: jax.Array,
  train: Batch,
  val: Batch,
  key: jax.Array,
) -> tuple[SearchState, Metrics]:
  """One alpha step on `val`, then one weight step on `train`.

  The batches must be of the same shapes.
  """
  alpha_key, weight_key = jax.random.split(key)
  if config.order == 'first' and jax.default_backend() == 'cpu':
    val_key = jax.random.split(alpha_key)[1]
    return _first_order_step(
      model, config, state, learning_rate, [(val, val_key), (train, weight_key)]
    )
  state, val_loss, val_accuracy = alpha_step(
    model, config, state, learning_rate, train, val, alpha_key
  )
  state, train_loss, train_accuracy = weight_step(
    model, config, state, learning_rate, train, weight_key
  )
  metrics = Metrics(train_loss, train_accuracy, val_loss, val_accuracy)
  return state.replace(step=state.step + 1), metrics


def _first_order_step(
  model: Supernet,
  config: SearchConfig,
  state: SearchState,
  learning_rate: jax.Array,
  batches: list[tuple[Batch, jax.Array]],
) -> tuple[SearchState, Metrics]:
  """Both steps as two passes of one loop, whose gradient is compiled once.

  For CPU, where compiling takes long; the alpha step computes gradients for the
  weights in vain, which a GPU would do at every one of many more steps.
  """
  stacked = jax.tree.map(lambda *t: jnp.stack(t), *batches)

  def half(i, carry):
    state, values, accuracies = carry
    batch, key = jax.tree.map(lambda t: t[i], stacked)
    loss = make_loss(model, state.batch_stats, state.mask)
    (value, aux), (weight_grads, alpha_grads) = make_gradient(
      loss, (0, 1), config.accumulate
    )(state.weights, state.alphas, batch, key)
    state = jax.lax.cond(
      i == 0,
      lambda state: _move_alphas(config, state, alpha_grads),
      lambda state: _move_weights(config, state, learning_rate, weight_grads),
      state.replace(batch_stats=aux.batch_stats),
    )
    return (
      state,
      values.at[i].set(value),
      accuracies.at[i].set(aux.accuracy),
    )

  state, values, accuracies = jax.lax.fori_loop(
    0, 2, half, (state, jnp.zeros(2), jnp.zeros(2))
  )
  metrics = Metrics(values[1], accuracies[1], values[0], accuracies[0])
  return state.replace(step=state.step + 1), metrics
