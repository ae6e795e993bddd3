"""How images reach the steps of a training run: all at once, or as a stream."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import jax

from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.data.stream import Streamed
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.evaluation import Evaluation, merge
from opp_darts_jax.running.trainings.programs import (
  TrainMetrics,
  TrainPrograms,
  TrainState,
)

Stepped = tuple[TrainState, TrainMetrics]


class Step(NamedTuple):
  """What steps of an epoch have in common.

  Attributes:
    key: of the whole run.
    learning_rate: of the epoch.
    drop_path: probability of dropping an edge, in this epoch.
  """

  key: jax.Array
  learning_rate: float
  drop_path: float


class InMemory:
  """All images lie on the devices, and batches are drawn there.

  Args:
    images: the data set.
    programs: of the training run.
    devices: that hold it.
  """

  def __init__(
    self, images: ImageData, programs: TrainPrograms, devices: Devices
  ) -> None:
    self._programs = programs
    self._train, self._test = devices.copy((images.train, images.test))

  def train(
    self, state: TrainState, sums: TrainMetrics, count: int, step: Step
  ) -> Stepped:
    """Takes `count` steps; the state that comes in is consumed."""
    return self._programs.steps(state, sums, *self._train, *step, count)

  def test(self, state: TrainState) -> Evaluation:
    """Evaluates on all test images."""
    return self._programs.test(state, *self._test, len(self._test.labels))

  def close(self) -> None:
    """Ends nothing, as nothing has begun."""


class Streaming:
  """Batches come from worker processes, one step at a time.

  Every process of a job reads what its own devices take.

  Args:
    stream: the data set.
    programs: of the training run.
    devices: that take the batches.
    batch_size: images in a step.
    test_size: images tested at a time.
    start: steps already taken.
  """

  def __init__(
    self,
    stream: Streamed,
    programs: TrainPrograms,
    devices: Devices,
    batch_size: int,
    test_size: int,
    start: int,
  ) -> None:
    self._stream, self._programs, self._devices = stream, programs, devices
    self._test_size = test_size
    own = devices.own_rows(batch_size)
    self._batches = stream.train_batches(batch_size, start, own)

  def train(
    self, state: TrainState, sums: TrainMetrics, count: int, step: Step
  ) -> Stepped:
    """Takes `count` steps; the state that comes in is consumed."""
    for _ in range(count):
      batch = self._devices.join(next(self._batches))
      state, sums = self._programs.step(state, sums, *batch, *step)
    return state, sums

  def test(self, state: TrainState) -> Evaluation:
    """Evaluates on all test images."""

    def parts() -> Iterator[Evaluation]:
      left, size = self._stream.num_test, self._test_size
      own_rows = self._devices.own_rows(size)
      read = self._stream.test_batches(size, own_rows)
      with contextlib.closing(read):
        for own in read:
          batch = self._devices.join(own)
          yield self._programs.test(state, *batch, min(left, size))
          left -= size

    return merge(parts())

  def close(self) -> None:
    """Ends the worker processes."""
    self._batches.close()
