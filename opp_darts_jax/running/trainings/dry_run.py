"""What a training would do, and take on an accelerator that is not here."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from opp_darts_jax.config import TrainConfig
from opp_darts_jax.data.augment import Augmentation
from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.data.split import count_batches
from opp_darts_jax.data.stream import Streamed
from opp_darts_jax.networks import summary
from opp_darts_jax.networks.network import Network
from opp_darts_jax.running import evaluation
from opp_darts_jax.running.accelerators import absent
from opp_darts_jax.running.accelerators.absent import Absent
from opp_darts_jax.running.accelerators.forecast import Forecast, Part, of_parts
from opp_darts_jax.running.devices import arguments_on, devices_for
from opp_darts_jax.running.runs.plan import contact_sheet
from opp_darts_jax.running.trainings import plan, task
from opp_darts_jax.running.trainings.programs import (
  TrainMetrics,
  make_train_programs,
)
from opp_darts_jax.spaces.catalogue import get_space


def dry_run(
  config: TrainConfig, folder: str | pathlib.Path, *, target: str = ''
) -> str:
  """What the config would train, part by part, without training it.

  Args:
    config: of the training.
    folder: gets a `contact_sheet.png`.
    target: an accelerator of `ACCELERATORS` (accelerators/catalogue.py), which
      need not be here: what the training would take there, by what is compiled
      for it.

  Raises:
    UserError: if the config does not fit the images or the genotype, or if
      there is no such target or no compiler for it.
  """
  aimed = absent.find(target) if target else None
  config.check_new()
  devices = devices_for(config)
  space = get_space(config.space)
  genotype = task.named_genotype(config, space)
  images = task.load_images(config)
  training = task.prepare(config, images, genotype, space, devices)
  model = training.model
  lines = [
    plan.of_training(training),
    contact_sheet(config, images, folder),
    summary.table(summary.describe(model, images.image_shape)),
  ]
  if aimed is not None:
    lines.append(forecast_of_training(config, images, model, aimed).text)
  return '\n'.join(lines)


def forecast_of_training(
  config: TrainConfig,
  images: ImageData | Streamed,
  model: Network,
  target: Absent,
) -> Forecast:
  """What a training would take.

  Args:
    config: of it; with several seeds, all of them are counted.
    images: to train and test on.
    model: the network.
    target: where it would run, on one device.
  """
  devices = target.devices
  augmentation = Augmentation.of(images, config.data)
  shape = images.image_shape
  made = make_train_programs(config, model, shape, augmentation, devices)
  key = arguments_on(devices, jax.eval_shape(lambda: jax.random.key(0)))
  state = arguments_on(devices, jax.eval_shape(made.init, key))
  sums = arguments_on(devices, TrainMetrics.zeros())

  def split(count: int) -> tuple[Any, Any]:
    pixels = jax.ShapeDtypeStruct((count, *shape), jnp.uint8)
    labels = jax.ShapeDtypeStruct((count,), jnp.int32)
    return arguments_on(devices, (pixels, labels))

  streamed = isinstance(images, Streamed)
  size = config.batch_size
  train = split(size if streamed else images.num_train)
  test_size = evaluation.batch_size(config, devices, images.num_test)
  test = split(test_size if streamed else images.num_test)
  rate = 0.1, 0.1
  step = state, sums, *train, key, *rate
  per_epoch = count_batches(size, images.num_train, 'training images')
  seeds = max(1, len(config.seeds))
  steps = seeds * config.epochs * per_epoch
  tests = seeds * sum(map(config.evaluates, range(config.epochs)))
  batches = -(-images.num_test // test_size)
  parts = [
    Part('steps', made.step, step, steps)
    if streamed
    else Part('steps', made.steps, (*step, 1), steps),
    Part('tests', made.test, (state, *test, 1), tests * batches),
  ]
  return of_parts(parts, target.accelerator, config.precision)
