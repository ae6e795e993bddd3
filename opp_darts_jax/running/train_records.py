"""What a training writes down, and shows to whoever watches it."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from opp_darts_jax.running.evaluation import Evaluation
from opp_darts_jax.running.runs import Run


class TrainRecord(NamedTuple):
  """What an epoch of a training has come to.

  Attributes:
    epoch: its number, from 0.
    epochs: of the whole training.
    metrics: `train_loss` and `train_accuracy`, means over the epoch, and what
      the test gives: `test_loss`, `test_accuracy` and more.
    workdir: of the run.
  """

  epoch: int
  epochs: int
  metrics: Mapping[str, Any]
  workdir: pathlib.Path


OnEpoch = Callable[[TrainRecord], Any]


def describe(found: Evaluation, class_names: tuple[str, ...]) -> dict[str, Any]:
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


def record_epoch(
  epoch: int,
  step: int,
  means: dict[str, float],
  tested: dict[str, Any],
  run: Run,
) -> None:
  """Writes and shows what an epoch has come to."""
  loss, accuracy = tested['test_loss'], tested['test_accuracy']
  run.writer.write(
    'epoch', step, epoch, **means, test_loss=loss, test_accuracy=accuracy
  )
  run.screen.progress(
    f'epoch {epoch}: loss {means["train_loss"]:.4f}, accuracy '
    f'{means["train_accuracy"]:.4f}; test {loss:.4f}, {accuracy:.4f}'
  )
