"""How long the runs of a config take on a device that is not here.

Programs are compiled for it; images are made up, as only their shapes count.
"""

import dataclasses
from typing import Any

import numpy as np

from opp_darts_jax.config import SearchConfig, TrainConfig
from opp_darts_jax.data.dataset import ImageData, of_arrays
from opp_darts_jax.data.stream import Streamed
from opp_darts_jax.errors import UserError
from opp_darts_jax.launchers import config_files
from opp_darts_jax.launchers.launch import prepare_target
from opp_darts_jax.running.accelerators import absent
from opp_darts_jax.running.accelerators.forecast import Forecast
from opp_darts_jax.running.searches import search
from opp_darts_jax.running.searches.dry_run import forecast_of_search
from opp_darts_jax.running.trainings.dry_run import forecast_of_training
from opp_darts_jax.running.trainings.task import make_network, named_genotype
from opp_darts_jax.spaces.catalogue import get_space

# Images to train on, to test on, and their classes.
_SIZES = {
  'cifar10': (50_000, 10_000, 10),
  'imagenet2012': (1_281_167, 50_000, 1000),
}


def hours_of_search(config: str, target: str) -> float:
  """Hours of a config's search on an accelerator of `ACCELERATORS`."""
  prepare_target(target)
  made = SearchConfig.from_dict(config_files.load(config).to_dict())
  images = _images(made.data)
  checked = search.checked(made, None, None)
  prepared = search.prepare(*checked[:3], images, checked[3])
  return _hours(forecast_of_search(prepared, absent.find(target)), config)


def hours_of_training(config: str, target: str, **changes: Any) -> float:
  """Hours of a config's training, of the paper's cell or one of the space.

  Args:
    config: of it.
    target: an accelerator of `ACCELERATORS`.
    **changes: of the config's fields.
  """
  prepare_target(target)
  fields = config_files.load(config).to_dict()
  # The paper's cell has operations of all spaces but S1.
  fields['genotype'] = 'OPP_DARTS'
  made = dataclasses.replace(TrainConfig.from_dict(fields), **changes)
  images = _images(made.data)
  space = get_space('darts')
  genotype = named_genotype(made, space)
  model = make_network(made, genotype, space, images.num_classes)
  aimed = absent.find(target)
  return _hours(forecast_of_training(made, images, model, aimed), config)


def _hours(found: Forecast, config: str) -> float:
  if found.seconds is None:
    raise UserError(f'{config} does not fit: {found.text}')
  return found.seconds / 3600


def _images(config: Any) -> ImageData | Streamed:
  """Images of a data set's numbers and shapes, without its pixels."""
  train, test, classes = _SIZES[config.source]
  names = tuple(map(str, range(classes)))
  if config.stream:
    shape = (config.image_size, config.image_size, 3)
    one = (1.0,) * 3
    # Of parts that are read, a forecast asks for their lengths.
    parts: Any = range(train), range(test)
    return Streamed(config.source, names, shape, one, one, *parts, 0, 0, '')
  draw = np.random.default_rng(0)
  train_split, test_split = (
    (
      draw.integers(256, size=(count, 32, 32, 3), dtype=np.uint8),
      np.arange(count) % classes,
    )
    for count in (train, test)
  )
  return of_arrays(*train_split, test=test_split)
