"""run_training: the file that wires training and testing a network."""

import contextlib
import dataclasses
import math
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from opp_darts_jax import (
  augment,
  console,
  data,
  loop,
  metrics,
  summary,
  trained,
  workdirs,
)
from opp_darts_jax.augment import Augmentation
from opp_darts_jax.bilevel import weight_optimizer
from opp_darts_jax.checkpoint import Checkpoints
from opp_darts_jax.config import TrainConfig
from opp_darts_jax.console import Console
from opp_darts_jax.data import ImageData
from opp_darts_jax.errors import UserError
from opp_darts_jax.evaluation import Evaluation, evaluate
from opp_darts_jax.genotype import Genotype
from opp_darts_jax.network import Network
from opp_darts_jax.published import load_genotype


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


class TrainPrograms(NamedTuple):
  """What a training run does on the device.

  Attributes:
    init: key -> the first state.
    steps: (state, images, labels, key, learning_rate, drop_path, count) -> the
      state after `count` steps within an epoch, and the metrics' means. The
      state that comes in is consumed.
    test: (state, images, labels) -> the `Evaluation`.
  """

  init: Callable[[jax.Array], TrainState]
  steps: Callable[..., tuple[TrainState, TrainMetrics]]
  test: Callable[..., Evaluation]


def run_training(
  config: TrainConfig, workdir: str | pathlib.Path
) -> dict[str, Any]:
  """Trains and tests the network, writing everything into `workdir`.

  The files: `config.json`, `genotype.json`, `metrics.jsonl`, `results.json`,
  `network.npz` (see trained.py), TensorBoard events, and checkpoints, from
  which the same call goes on after an interruption. With several seeds each has
  a folder of its own in it, and `results.json` sums them up.

  Args:
    config: what to do.
    workdir: a folder; made if it is missing.

  Returns:
    The contents of `results.json`: `test_accuracy` (a fraction), `test_loss`,
    `num_weights` and more.

  Raises:
    UserError: if the config does not fit the images or the genotype, or the
      workdir holds a run of another config.
  """
  if config.seeds:
    return _run_seeds(config, workdir)
  genotype = load_genotype(config.genotype)
  images = data.load(config.data)
  model = make_network(config, genotype, images.num_classes)
  programs = _make_programs(config, model, images)
  key = jax.random.key(config.seed)
  shapes = jax.eval_shape(programs.init, key)
  workdir = workdirs.open_workdir(workdir, config)
  metrics.write_json(workdir / 'genotype.json', genotype.to_dict())
  state = programs.init(jax.random.fold_in(key, 0))
  train, test = jax.tree.map(jnp.asarray, (images.train, images.test))
  per_epoch = len(train.labels) // config.batch_size
  results: dict[str, Any] = {}
  begin = 0
  with contextlib.ExitStack() as stack:
    checkpoints = stack.enter_context(Checkpoints(workdir))
    saved = checkpoints.restore(state)
    if saved is not None:
      state, begin = saved.state, saved.progress['epochs']
      results = saved.progress['results']
    done = begin * per_epoch
    writer = stack.enter_context(metrics.MetricsWriter(workdir, begin, done))
    screen = stack.enter_context(Console(config.epochs * per_epoch, done))
    screen.say(_plan(config, images, genotype, shapes, workdir, begin))
    for epoch in range(begin, config.epochs):
      start = time.monotonic()
      rate = learning_rate(config, epoch)
      drop_path = config.drop_path * epoch / config.epochs

      def dispatch(state, count, rate=rate, drop_path=drop_path):
        return programs.steps(
          state, *train, jax.random.fold_in(key, 1), rate, drop_path, count
        )

      def log(done, size, means, epoch=epoch, rate=rate):
        step = epoch * per_epoch + done
        writer.write('train', step, epoch, **means, learning_rate=rate)
        screen.advance(size, means)

      state, means = loop.run_epoch(
        dispatch, state, per_epoch, config.log_steps, log
      )
      tested = _describe(programs.test(state, *test), images.class_names)
      loss, accuracy = tested['test_loss'], tested['test_accuracy']
      results = {
        **tested,
        **means,
        'epochs': epoch + 1,
        'num_weights': _size(shapes.weights),
        'genotype': genotype.to_dict(),
      }
      writer.write(
        'epoch',
        int(state.step),
        epoch,
        **means,
        test_loss=loss,
        test_accuracy=accuracy,
        seconds=round(time.monotonic() - start, 3),
      )
      screen.progress(
        f'epoch {epoch}: loss {means["train_loss"]:.4f}, accuracy '
        f'{means["train_accuracy"]:.4f}; test {loss:.4f}, {accuracy:.4f}'
      )
      checkpoints.save(
        epoch + 1, state, {'epochs': epoch + 1, 'results': results}
      )
  trained.save_network(workdir / 'network.npz', model, state.variables, images)
  metrics.write_json(workdir / 'results.json', results)
  return results


def summarise(config: TrainConfig) -> str:
  """What the config would train, part by part, without training it.

  Raises:
    UserError: if the config does not fit the images or the genotype.
  """
  genotype = load_genotype(config.genotype)
  images = data.load(config.data)
  model = make_network(config, genotype, images.num_classes)
  return '\n'.join(
    [
      f'{images.name}: {len(images.train.labels)} images to train, '
      f'{len(images.test.labels)} to test, {images.num_classes} classes',
      console.genotype_lines(genotype),
      summary.table(model, images.train.images.shape[1:]),
    ]
  )


def _run_seeds(
  config: TrainConfig, workdir: str | pathlib.Path
) -> dict[str, Any]:
  """A run a seed, and their mean and sample standard deviation."""
  workdir = workdirs.open_workdir(workdir, config)
  runs = {}
  for seed in config.seeds:
    one = dataclasses.replace(config, seed=seed, seeds=())
    runs[seed] = run_training(one, workdir / f'seed{seed}')
  results: dict[str, Any] = {'seeds': config.seeds}
  for name in ('test_accuracy', 'test_top5_accuracy', 'test_loss'):
    values = [run[name] for run in runs.values()]
    results |= {
      name: statistics.mean(values),
      f'{name}_std': statistics.stdev(values) if len(values) > 1 else None,
      f'{name}_by_seed': dict(zip(runs, values)),
    }
  run = runs[config.seeds[0]]
  results |= {name: run[name] for name in ('epochs', 'num_weights', 'genotype')}
  metrics.write_json(workdir / 'genotype.json', run['genotype'])
  metrics.write_json(workdir / 'results.json', results)
  spread = results['test_accuracy_std']
  print(
    f'{len(runs)} seeds: test accuracy {results["test_accuracy"]:.4f}'
    + ('' if spread is None else f' +- {spread:.4f}'),
    flush=True,
  )
  return results


def _describe(
  found: Evaluation, class_names: tuple[str, ...]
) -> dict[str, Any]:
  """An evaluation on the test images as entries of `results.json`."""
  confusion = np.asarray(found.confusion)
  # A class without test images has no accuracy.
  counts = confusion.sum(1)
  rates = np.diag(confusion) / np.where(counts, counts, np.nan)
  return {
    'test_accuracy': float(found.accuracy),
    'test_top5_accuracy': float(found.top5_accuracy),
    'test_loss': float(found.loss),
    'class_accuracy': dict(zip(class_names, rates.tolist())),
    'confusion': confusion.tolist(),
  }


def make_network(
  config: TrainConfig, genotype: Genotype, classes: int
) -> Network:
  """The network that the config describes."""
  return Network(
    genotype,
    config.layers,
    config.channels,
    classes,
    auxiliary=config.auxiliary,
    imagenet=config.imagenet,
    compute=config.compute,
  )


def learning_rate(config: TrainConfig, epoch: int) -> float:
  """By epoch: the cosine from the first rate to the least, or a power."""
  if config.rate_decay:
    return config.weights.learning_rate * config.rate_decay**epoch
  least, most = config.weights.learning_rate_min, config.weights.learning_rate
  share = epoch / config.epochs
  return least + (most - least) * (1 + math.cos(math.pi * share)) / 2


def _make_programs(
  config: TrainConfig, model: Network, images: ImageData
) -> TrainPrograms:
  count = len(images.train.labels)
  size = config.batch_size
  if count < size:
    raise UserError(
      f'batch_size is {size}, but {images.name} has {count} training images: a '
      'batch must fit.'
    )
  optimizer = weight_optimizer(config.weights)
  augmentation = Augmentation.of(images, config.data)

  def init(key):
    weight_key = jax.random.key(jax.random.bits(key), impl='rbg')
    shape = (1, *images.train.images.shape[1:])
    variables = model.init(weight_key, jnp.zeros(shape), train=True)
    weights = variables['params']
    return TrainState(
      jnp.zeros((), jnp.int32),
      weights,
      variables['batch_stats'],
      optimizer.init(weights),
      weights if config.average else None,
    )

  def loss(weights, state, images, labels, drop_path, key):
    noise_key, drop_key = jax.random.split(key)
    (logits, auxiliary), changed = model.apply(
      {'params': weights, 'batch_stats': state.batch_stats},
      images,
      train=True,
      drop_path=drop_path,
      mutable=['batch_stats'],
      rngs={'noise': noise_key, 'drop_path': drop_key},
    )

    def entropy(logits, labels):
      targets = optax.smooth_labels(
        jax.nn.one_hot(labels, logits.shape[-1]), config.label_smoothing
      )
      return optax.softmax_cross_entropy(logits, targets)

    own = entropy(logits, labels).mean()
    total = own
    if auxiliary is not None:
      extra = entropy(auxiliary, labels).mean()
      total += config.auxiliary_weight * extra
    right = (logits.argmax(-1) == labels).mean()
    return total, (changed['batch_stats'], TrainMetrics(own, right))

  def steps(state, images, labels, key, rate, drop_path, repeats):
    per_epoch = count // size
    order_key, step_key = jax.random.split(key)
    order = augment.epoch_order(order_key, state.step // per_epoch, count)

    def body(_, carry):
      state, sums = carry
      rows = augment.batch(order, state.step % per_epoch, size)
      keys = jax.random.split(jax.random.fold_in(step_key, state.step))
      batch = augment.augment(keys[0], images[rows], augmentation)
      grads, (batch_stats, means) = jax.grad(loss, has_aux=True)(
        state.weights, state, batch, labels[rows], drop_path, keys[1]
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

    zeros = TrainMetrics(jnp.zeros(()), jnp.zeros(()))
    state, sums = jax.lax.fori_loop(0, repeats, body, (state, zeros))
    return state, jax.tree.map(lambda s: s / repeats, sums)

  def test(state, images, labels):
    def logits(batch, i):
      return model.apply(
        state.variables,
        batch,
        train=False,
        rngs={'noise': jax.random.key(i)},
      )[0]

    rows = jnp.arange(len(labels))
    return evaluate(
      logits, images, labels, rows, size, augmentation, model.classes
    )

  return TrainPrograms(
    jax.jit(init), jax.jit(steps, donate_argnums=0), jax.jit(test)
  )


def _size(weights: Any) -> int:
  return sum(leaf.size for leaf in jax.tree.leaves(weights))


def _plan(
  config: TrainConfig,
  images: ImageData,
  genotype: Genotype,
  shapes: TrainState,
  workdir: pathlib.Path,
  begin: int,
) -> str:
  """What the run will do, in a few lines."""
  train, test = len(images.train.labels), len(images.test.labels)
  height, width, channels = images.train.images.shape[1:]
  per_epoch = train // config.batch_size
  return '\n'.join(
    [
      f'Training in {workdir}'
      + (f', going on after epoch {begin - 1}' if begin else ''),
      f'  device    {console.device()}',
      f'  data      {images.name}: {train} images to train, {test} to test, '
      f'{height}x{width}x{channels}, {images.num_classes} classes',
      '  genotype',
      console.genotype_lines(genotype),
      f'  network   {config.layers} cells, {config.channels} channels, '
      f'{"with" if config.auxiliary else "no"} auxiliary head: '
      f'{_size(shapes.weights):,} weights',
      f'  steps     {config.epochs} epochs of {per_epoch} steps, batch '
      f'{config.batch_size}',
    ]
  )
