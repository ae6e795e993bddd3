"""The compiled programs of a training run."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import optax
from flax import struct

from opp_darts_jax.config import TrainConfig
from opp_darts_jax.data import augment
from opp_darts_jax.data.augment import Augmentation
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.accumulate import mean_over_parts
from opp_darts_jax.methods.optimizers import weight_optimizer
from opp_darts_jax.networks.network import Network
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.evaluation import Evaluation, batch_size, evaluate
from opp_darts_jax.running.programs import compiled

# How many of the worst mistakes of a test are kept.
MISTAKES = 12


class TrainState(struct.PyTreeNode):
  """Everything that training changes.

  Attributes:
    step: steps taken.
    weights: of the network.
    batch_stats: running averages of its norms.
    opt: state of SGD.
    average: exponential average of the weights; None if there is none.
  """

  step: jax.Array
  weights: Any
  batch_stats: Any
  opt: optax.OptState
  average: Any = None

  @property
  def variables(self) -> dict[str, Any]:
    """What the network is tested with: the averaged weights if there are."""
    weights = self.weights if self.average is None else self.average
    return {'params': weights, 'batch_stats': self.batch_stats}


class TrainMetrics(NamedTuple):
  """Mean loss (without the auxiliary head's) and accuracy of a step's batch."""

  train_loss: jax.Array
  train_accuracy: jax.Array

  @classmethod
  def zeros(cls) -> Self:
    """The sums before the first step."""
    return cls(jnp.zeros(()), jnp.zeros(()))


class TrainPrograms(NamedTuple):
  """What a training run does on the device.

  A state that comes in is consumed by the steps, and the metrics of the steps
  are added to the sums.

  Attributes:
    init: key -> the first state.
    steps: (state, sums, images, labels, key, learning_rate, drop_path, count)
      -> state and sums after `count` steps within an epoch, on batches drawn
      from all the images.
    step: (state, sums, images, labels, key, learning_rate, drop_path) -> state
      and sums after one step on this batch.
    test: (state, images, labels, count) -> the `Evaluation` on the first
      `count` of these images.
  """

  init: Callable[[jax.Array], TrainState]
  steps: Callable[..., tuple[TrainState, TrainMetrics]]
  step: Callable[..., tuple[TrainState, TrainMetrics]]
  test: Callable[..., Evaluation]


def _make_loss(
  config: TrainConfig, model: Network
) -> Callable[..., tuple[jax.Array, Any]]:
  """(weights, batch_stats, images, labels, drop_path, key) -> the loss.

  That of the auxiliary head is in it; beside it come the moved running averages
  and the metrics.
  """

  def entropy(logits, labels):
    targets = optax.smooth_labels(
      jax.nn.one_hot(labels, logits.shape[-1]), config.label_smoothing
    )
    return optax.softmax_cross_entropy(logits, targets).mean()

  def loss(weights, batch_stats, images, labels, drop_path, key):
    noise_key, drop_key = jax.random.split(key)
    (logits, auxiliary), changed = model.apply(
      {'params': weights, 'batch_stats': batch_stats},
      images,
      train=True,
      drop_path=drop_path,
      mutable=['batch_stats'],
      rngs={'noise': noise_key, 'drop_path': drop_key},
    )
    own = entropy(logits, labels)
    total = own
    if auxiliary is not None:
      total += config.auxiliary_weight * entropy(auxiliary, labels)
    right = (logits.argmax(-1) == labels).mean()
    return total, (changed['batch_stats'], TrainMetrics(own, right))

  return loss


def _step(
  config: TrainConfig,
  model: Network,
  optimizer: optax.GradientTransformation,
  augmentation: Augmentation,
  devices: Devices,
) -> Callable[..., tuple[TrainState, TrainMetrics]]:
  """(state, sums, images, labels, key, rate, drop_path) -> state and sums.

  One step on a batch; the key is the step's own.
  """
  gradient = mean_over_parts(
    jax.grad(_make_loss(config, model), has_aux=True),
    config.accumulate,
    batch_argnums=(2, 3),
    key_argnum=5,
  )

  def take_step(state, sums, images, labels, key, rate, drop_path):
    images, labels = devices.divide((images, labels))
    keys = jax.random.split(key)
    batch = augment.augment(keys[0], images, augmentation)
    grads, (batch_stats, means) = gradient(
      state.weights, state.batch_stats, batch, labels, drop_path, keys[1]
    )
    updates, opt = optimizer.update(grads, state.opt, state.weights)
    updates = optax.tree.scale(-rate, updates)
    weights = optax.apply_updates(state.weights, updates)
    average = state.average
    if average is not None:
      decay = (1 + state.step) / (10 + state.step)
      share = 1 - jnp.minimum(decay, config.average)
      average = optax.incremental_update(weights, average, share)
    state = TrainState(state.step + 1, weights, batch_stats, opt, average)
    return state, jax.tree.map(jnp.add, sums, means)

  return take_step


@memoized(8)
def make_train_programs(
  config: TrainConfig,
  model: Network,
  image_shape: tuple[int, ...],
  augmentation: Augmentation,
  devices: Devices,
) -> TrainPrograms:
  """Builds the programs; each is compiled when it is first called.

  Args:
    config: of the training.
    model: the network.
    image_shape: (H, W, C).
    augmentation: of training images.
    devices: over which batches are divided.
  """
  size = config.batch_size
  optimizer = weight_optimizer(config.weights)

  def init(key):
    weight_key = jax.random.key(jax.random.bits(key), impl='rbg')
    images = jnp.zeros((1, *image_shape))
    variables = model.init(weight_key, images, train=True)
    weights = variables['params']
    return TrainState(
      jnp.zeros((), jnp.int32),
      weights,
      variables['batch_stats'],
      optimizer.init(weights),
      weights if config.average else None,
    )

  take_step = _step(config, model, optimizer, augmentation, devices)

  def steps(state, sums, images, labels, key, rate, drop_path, count):
    per_epoch = len(labels) // size
    order_key, step_key = jax.random.split(key)
    order = augment.epoch_order(order_key, state.step // per_epoch, len(labels))

    def body(_, carry):
      state, sums = carry
      rows = augment.batch(order, state.step % per_epoch, size)
      own_key = jax.random.fold_in(step_key, state.step)
      return take_step(
        state, sums, images[rows], labels[rows], own_key, rate, drop_path
      )

    return jax.lax.fori_loop(0, count, body, (state, sums))

  def step(state, sums, images, labels, key, rate, drop_path):
    _, step_key = jax.random.split(key)
    own_key = jax.random.fold_in(step_key, state.step)
    return take_step(state, sums, images, labels, own_key, rate, drop_path)

  make = functools.partial(compiled, config=config, devices=devices)
  return TrainPrograms(
    make(init),
    make(steps, donate_argnums=0),
    make(step, donate_argnums=0),
    make(_tester(config, model, augmentation, devices)),
  )


def _tester(
  config: TrainConfig,
  model: Network,
  augmentation: Augmentation,
  devices: Devices,
) -> Callable[..., Evaluation]:
  """`TrainPrograms.test`, to be compiled."""

  def test(state, images, labels, count):
    def logits(batch, i):
      return model.apply(
        state.variables,
        devices.divide(batch),
        train=False,
        rngs={'noise': jax.random.key(i)},
      )[0]

    rows = jnp.arange(len(labels))
    return evaluate(
      logits,
      images,
      labels,
      rows,
      batch_size(config, devices, len(labels)),
      augmentation,
      model.classes,
      count,
      MISTAKES,
    )

  return test
