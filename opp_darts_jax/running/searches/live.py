"""A search as its methods see it, and what it runs on."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.data.augment import Augmentation
from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.data.split import count_batches, halves
from opp_darts_jax.errors import check_finite
from opp_darts_jax.methods import growth
from opp_darts_jax.methods.check import check_task
from opp_darts_jax.methods.curvature import largest_eigenvalue
from opp_darts_jax.methods.loss import make_task
from opp_darts_jax.methods.method import Method
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.tables import Tables
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.evaluation import Evaluation
from opp_darts_jax.running.searches.programs import (
  Programs,
  SearchData,
  make_programs,
)
from opp_darts_jax.spaces.space import Space


@dataclasses.dataclass
class LiveSearch:
  """A search as its methods see it (`stages.Search`), and what runs it.

  All but `run`, which is there once it has begun, stay the same. `make` gives
  the programs of a config.
  """

  config: SearchConfig
  space: Space
  method: Method
  key: jax.Array
  programs: Programs
  images: ImageData
  data: SearchData
  devices: Devices
  per_epoch: int
  make: Callable[[SearchConfig], Programs]
  run: Any = None

  def begin(self) -> SearchState:
    """The state before the first stage."""
    state = self.fresh(jax.random.fold_in(self.key, 0))
    return self.devices.copy(growth.without_operations(state, self.space))

  @property
  def size(self) -> dict[str, int]:
    """What `resized` takes to give a search of this size."""
    return {'layers': self.config.layers, 'channels': self.config.channels}

  def resized(
    self, layers: int | None = None, channels: int | None = None
  ) -> 'LiveSearch':
    """The search with a supernet of another size, whose programs are new."""
    own = self.config
    config = dataclasses.replace(
      own, layers=layers or own.layers, channels=channels or own.channels
    )
    if config == own:
      return self
    return dataclasses.replace(self, config=config, programs=self.make(config))

  def fresh(self, key: jax.Array) -> SearchState:
    """An initial state, every operation with fresh weights."""
    return self.programs.init(key)

  def score(
    self, state: SearchState, mask: Mapping[str, np.ndarray], key: jax.Array
  ) -> float:
    """The operation loss of what a mask has, over batches of D_train."""
    batches = self.config.schedule.score_batches or self.per_epoch
    batches = min(batches, self.per_epoch)
    total = self.devices.copy(jnp.zeros(()))
    pace, step = self.run.pace, int(state.step)
    at = under_way = 0
    pace.start()
    while at < batches:
      self.run.stop_if_asked(step)
      size = min(pace.size, batches - at)
      before = total
      total = self.programs.score(total, state, mask, self.data, key, at, size)
      if under_way:  # The device is busy with the next batches meanwhile.
        before.block_until_ready()
        pace.finish(under_way)
      at, under_way = at + size, size
    total.block_until_ready()
    pace.finish(under_way)
    return float(total) / batches

  def evaluate(self, state: SearchState) -> dict[str, float]:
    """Loss and accuracy on D_val by the running averages.

    Those of a method that samples operations are of all that were before them:
    its evaluations go by the statistics of each whole batch.

    Raises:
      DivergedError: if the loss is not finite.
    """
    found = self._evaluation(state, None, self.method.sparse)
    loss, accuracy = map(float, jax.device_get((found.loss, found.accuracy)))
    check_finite('loss on D_val', loss)
    return {'eval_loss': loss, 'eval_accuracy': accuracy}

  def accuracy(
    self,
    state: SearchState,
    tables: Tables | None = None,
    by_batch: bool = False,
  ) -> float:
    """On D_val, with these operation weights instead of the method's.

    By the running averages, or by the statistics of each whole batch.
    """
    return float(self._evaluation(state, tables, by_batch).accuracy)

  def _evaluation(
    self, state: SearchState, tables: Tables | None, by_batch: bool
  ) -> Evaluation:
    programs = self.programs
    evaluate = programs.evaluate_batches if by_batch else programs.evaluate
    return evaluate(state, self.data, tables)

  def curvature(self, state: SearchState) -> float:
    """The largest eigenvalue of the validation loss's Hessian for the alphas.

    Of a batch of D_val that the step decides, and of trained parameters alone;
    their weight decay is a part of it.
    """
    found = self.programs.curvature(state, self.data)
    return largest_eigenvalue(*jax.device_get(found))


def prepare(
  config: SearchConfig,
  space: Space,
  method: Method,
  images: ImageData,
  devices: Devices,
) -> LiveSearch:
  """The search of a config, ready to run.

  Raises:
    UserError: if the images do not make a batch of both halves.
  """
  rows = halves(
    images.train.labels, config.train_fraction, config.data.split_seed
  )
  per_epoch, _ = (
    count_batches(
      config.batch_size, len(part), f'images of {images.name} in {half}'
    )
    for half, part in zip(('D_train', 'D_val'), rows)
  )
  make = functools.partial(
    programs_of,
    space=space,
    method=method,
    images=images,
    per_epoch=per_epoch,
    devices=devices,
  )
  on_device = SearchData(*devices.copy((*images.train, *rows)))
  key = devices.copy(jax.random.key(config.seed))
  return LiveSearch(
    config,
    space,
    method,
    key,
    make(config),
    images,
    on_device,
    devices,
    per_epoch,
    make,
  )


def programs_of(
  config: SearchConfig,
  space: Space,
  method: Method,
  images: ImageData,
  per_epoch: int,
  devices: Devices,
) -> Programs:
  """The programs of a search, which need not be on the devices that it is on.

  Searches of a process that differ in their seeds or images share them.

  Args:
    config: of the search.
    space: what is searched.
    method: by which.
    images: their shape and how they are augmented.
    per_epoch: steps of an epoch.
    devices: that the programs are for.

  Raises:
    UserError: if the config does not fit the method.
  """
  task = make_task(config, space, method, images.num_classes, per_epoch)
  task = dataclasses.replace(task, config=config.of_programs())
  check_task(task)
  augmentation = Augmentation.of(images, config.data)
  return make_programs(task, augmentation, images.image_shape, devices)
