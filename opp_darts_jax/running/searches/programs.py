"""The compiled programs of a search: one of each serves all of its stages."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from opp_darts_jax.data import augment
from opp_darts_jax.data.augment import Augmentation
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.curvature import lanczos
from opp_darts_jax.methods.halves import init_state
from opp_darts_jax.methods.loss import Task, make_loss
from opp_darts_jax.methods.method import Draw, no_term
from opp_darts_jax.methods.state import Batch, Metrics, SearchState
from opp_darts_jax.methods.steps import search_step
from opp_darts_jax.operations.target import traced_for
from opp_darts_jax.running import evaluation
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.evaluation import Evaluation
from opp_darts_jax.running.programs import compiled
from opp_darts_jax.supernet.cell import load_kernels


class SearchData(NamedTuple):
  """All training images, on the device, and the halves' rows in them.

  Attributes:
    images: uint8 (n, H, W, C).
    labels: int32 (n,).
    train_rows: of D_train.
    val_rows: of D_val.
  """

  images: jax.Array
  labels: jax.Array
  train_rows: jax.Array
  val_rows: jax.Array


class Programs(NamedTuple):
  """What a search runs on the device.

  Attributes:
    init: key -> an initial state, every operation with fresh weights.
    steps: (state, sums, data, key, learning_rate, count) -> the state after
      `count` steps within an epoch, and the sums with the metrics of these
      steps added. The state that comes in is consumed.
    score: (total, state, mask, data, key, first, count) -> the total plus the
      losses on `count` batches, from the `first` on, of D_train in an order
      that the key decides; nothing else changes. Batches are those of steps,
      whatever the device has room for: norms go by a batch's own statistics
      here, and on a larger batch the loss would be another.
    evaluate: (state, data, operation weights or None for the method's) -> the
      `Evaluation` on D_val, by the running averages.
    evaluate_batches: the same on the whole batches of D_val, by the statistics
      of each.
    curvature: (state, data) -> what `curvature.lanczos` gives for the Hessian
      of the validation loss for the trained parameters, on one batch.
  """

  init: Callable[[jax.Array], SearchState]
  steps: Callable[..., tuple[SearchState, Metrics]]
  score: Callable[..., jax.Array]
  evaluate: Callable[..., Evaluation]
  evaluate_batches: Callable[..., Evaluation]
  curvature: Callable[..., tuple[jax.Array, jax.Array]]


@memoized(8)
def make_programs(
  task: Task,
  augmentation: Augmentation,
  image_shape: tuple[int, ...],
  devices: Devices,
) -> Programs:
  """Builds the programs; each is compiled when it is first called.

  Args:
    task: of the search.
    augmentation: of all batches that losses are taken on.
    image_shape: (H, W, C).
    devices: over which batches are divided.
  """
  with traced_for(devices.target):
    load_kernels(task.config.layout)
  size = task.config.batch_size
  mask = jax.device_put(task.space.mask())

  def draw(data, rows, order, position, key):
    chosen = rows[augment.batch(order, position, size)]
    images = augment.augment(key, data.images[chosen], augmentation)
    return devices.divide(Batch(images, data.labels[chosen]))

  def init(key):
    return init_state(task, key, image_shape, mask)

  def steps(state, sums, data, key, learning_rate, count):
    counts = len(data.train_rows), len(data.val_rows)
    per_epoch = task.per_epoch
    epoch = state.step // per_epoch
    train_key, val_key, step_key = jax.random.split(key, 3)
    train_order = augment.epoch_order(train_key, epoch, counts[0])
    val_order = augment.epoch_order(val_key, epoch, counts[1])

    def body(_, carry):
      state, sums = carry
      position = state.step % per_epoch
      keys = jax.random.split(jax.random.fold_in(step_key, state.step), 3)
      train = draw(data, data.train_rows, train_order, position, keys[0])
      position %= counts[1] // size
      val = draw(data, data.val_rows, val_order, position, keys[1])
      state, metrics = search_step(
        task, state, learning_rate, train, val, keys[2]
      )
      return state, jax.tree.map(jnp.add, sums, metrics)

    return jax.lax.fori_loop(0, count, body, (state, sums))

  def score(total, state, mask, data, key, first, count):
    order_key, batch_key = jax.random.split(key)
    order = augment.epoch_order(order_key, 0, len(data.train_rows))
    loss = make_loss(task, state, no_term, mask)

    def body(i, total):
      draw_key, loss_key = jax.random.split(jax.random.fold_in(batch_key, i))
      batch = draw(data, data.train_rows, order, i, draw_key)
      return total + loss(state.weights, state.alphas, batch, loss_key)[0]

    return jax.lax.fori_loop(first, first + count, body, total)

  make = functools.partial(compiled, config=task.config, devices=devices)
  return Programs(
    make(init),
    make(steps, donate_argnums=0),
    make(score),
    make(_evaluator(task, augmentation, devices)),
    make(_evaluator(task, augmentation, devices, by_batch=True)),
    make(_curvature(task, draw)),
  )


def _curvature(
  task: Task, draw: Callable[..., Batch]
) -> Callable[..., tuple[jax.Array, jax.Array]]:
  """`Programs.curvature`, to be compiled.

  Args:
    task: of the search.
    draw: (data, rows, order, position, key) -> a batch.
  """

  def curvature(state, data):
    key = jax.random.fold_in(jax.random.key(0), state.step)
    order = augment.epoch_order(key, 0, len(data.val_rows))
    batch = draw(data, data.val_rows, order, 0, key)
    # Temperatures and coefficients are those of the epoch that is done.
    last = state.replace(step=jnp.maximum(state.step - 1, 0))
    loss = make_loss(task, last, task.method.val_term)
    alphas, unravel = ravel_pytree(state.alphas)
    trained, _ = ravel_pytree(task.method.trained(state.alphas, state.mask))

    def gradient(alphas):
      def of_alphas(flat):
        return loss(state.weights, unravel(flat), batch, key)[0]

      # An alpha's decay is coupled: it is a part of its gradient.
      decay = task.config.alphas.weight_decay * alphas
      return jax.grad(of_alphas)(alphas) + decay

    def product(direction):
      found = jax.jvp(gradient, (alphas,), (direction,))[1]
      return jnp.where(trained, found, 0)

    start = jax.random.normal(key, alphas.shape)
    return lanczos(product, jnp.where(trained, start, 0))

  return curvature


def _evaluator(
  task: Task,
  augmentation: Augmentation,
  devices: Devices,
  by_batch: bool = False,
) -> Callable[..., Evaluation]:
  """`Programs.evaluate`, or `Programs.evaluate_batches`, to be compiled."""
  model = task.model

  def evaluate(state, data, tables=None):
    def logits(images, i):
      key = jax.random.key(i)
      used = tables
      if used is None:
        # Of the epoch whose steps are done.
        last = jnp.maximum(state.step - 1, 0)
        chance = Draw(key, task.progress(last), task.cells, state.own)
        used = task.tables(state.alphas, state.mask, chance)
      return model.apply(
        {'params': state.weights, 'batch_stats': state.batch_stats},
        devices.divide(images),
        used,
        task.pass_mask(state.mask, used),
        train=by_batch,
        key=key,
        mutable=['batch_stats'],
      )[0]

    size = evaluation.batch_size(task.config, devices, len(data.val_rows))
    rows = data.val_rows
    if by_batch:
      size = task.config.batch_size
      rows = rows[: len(rows) // size * size]

    return evaluation.evaluate(
      logits,
      data.images,
      data.labels,
      rows,
      size,
      augmentation,
      model.classes,
    )

  return evaluate
