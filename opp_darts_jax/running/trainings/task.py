"""What a training is made of: images, a network, programs, a first state."""

import dataclasses
import functools

import jax

from opp_darts_jax.config import TrainConfig
from opp_darts_jax.data import dataset, stream
from opp_darts_jax.data.augment import Augmentation
from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.data.split import count_batches
from opp_darts_jax.data.stream import Streamed
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.genotypes.published import load_genotype
from opp_darts_jax.networks.network import Network, count_weights
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.trainings.programs import (
  TrainPrograms,
  TrainState,
  make_train_programs,
)
from opp_darts_jax.spaces.members import check_genotype
from opp_darts_jax.spaces.space import Space


@dataclasses.dataclass(frozen=True)
class TrainTask:
  """What stays the same throughout a training."""

  config: TrainConfig
  images: ImageData | Streamed
  model: Network
  programs: TrainPrograms
  devices: Devices
  key: jax.Array
  per_epoch: int

  def begin(self) -> TrainState:
    """The state before the first step."""
    return self.programs.init(jax.random.fold_in(self.key, 0))

  @functools.cached_property
  def num_weights(self) -> int:
    """Of the network, the auxiliary head's too."""
    first = jax.eval_shape(self.programs.init, self.key)
    return count_weights({'params': first.weights})


def prepare(
  config: TrainConfig,
  images: ImageData | Streamed,
  genotype: Genotype,
  space: Space,
  devices: Devices,
) -> TrainTask:
  """All that a config, its images and a genotype make of a training."""
  per_epoch = count_batches(
    config.batch_size, images.num_train, f'training images of {images.name}'
  )
  model = make_network(config, genotype, space, images.num_classes)
  programs = make_train_programs(
    config.of_programs(),
    model,
    images.image_shape,
    Augmentation.of(images, config.data),
    devices,
  )
  key = devices.copy(jax.random.key(config.seed))
  return TrainTask(config, images, model, programs, devices, key, per_epoch)


def load_images(config: TrainConfig) -> ImageData | Streamed:
  """The data set, in memory or as a stream."""
  if config.data.stream:
    return stream.open_stream(config.data, config.seed)
  return dataset.load(config.data)


def named_genotype(config: TrainConfig, space: Space) -> Genotype:
  """The genotype that a config names, in any form that its space has."""
  parsers = () if space.from_text is None else (space.from_text,)
  return load_genotype(config.genotype, parsers)


def make_network(
  config: TrainConfig, genotype: Genotype, space: Space, classes: int
) -> Network:
  """The network that the config describes."""
  check_genotype(space, genotype)
  return Network(
    genotype,
    config.layers,
    config.channels,
    classes,
    auxiliary=config.auxiliary,
    imagenet=config.imagenet,
    compute=config.compute,
    stack=config.stack,
    remat=config.remat,
    space=space,
  )
