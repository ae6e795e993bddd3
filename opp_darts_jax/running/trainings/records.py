"""What a training writes down, and shows to whoever watches it."""

import pathlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from opp_darts_jax import files
from opp_darts_jax.running.evaluation import Evaluation
from opp_darts_jax.running.runs import console
from opp_darts_jax.running.runs.run import Run


class TrainRecord(NamedTuple):
  """What an epoch of a training has come to.

  Attributes:
    epoch: its number, from 0.
    epochs: of the whole training.
    metrics: `train_loss` and `train_accuracy`, means over the epoch, and, where
      it ends with one, what the test gives: `test_loss`, `test_accuracy` and
      more.
    workdir: of the run.
  """

  epoch: int
  epochs: int
  metrics: Mapping[str, Any]
  workdir: pathlib.Path


OnEpoch = Callable[[TrainRecord], Any]


def describe(found: Evaluation, class_names: tuple[str, ...]) -> dict[str, Any]:
  """An evaluation on the test images as entries of `results.json`.

  Of the worst `mistakes` those that there are: the number of the test image,
  its class, the one predicted, and the probabilities of both. Classes of one
  name, as ImageNet's two cranes, have their labels behind it.
  """
  found = jax.device_get(found)
  times = Counter(class_names)
  class_names = tuple(
    f'{name} ({label})' if times[name] > 1 else name
    for label, name in enumerate(class_names)
  )
  confusion = np.asarray(found.confusion)
  # A class without test images has no accuracy.
  counts = confusion.sum(1)
  rates = np.diag(confusion) / np.where(counts, counts, np.nan)
  tested = {
    'test_accuracy': float(found.accuracy),
    'test_top5_accuracy': float(found.top5_accuracy),
    'test_loss': float(found.loss),
    'class_accuracy': dict(zip(class_names, rates.tolist())),
    'confusion': confusion.tolist(),
  }
  worst = found.mistakes
  if worst is not None:
    tested['mistakes'] = [
      {
        'image': int(worst.rows[i]),
        'class': class_names[int(own)],
        'predicted': class_names[int(worst.predicted[i])],
        'probability': float(worst.probabilities[i, 0]),
        'class_probability': float(worst.probabilities[i, 1]),
      }
      for i, own in enumerate(worst.classes)
      if np.isfinite(worst.losses[i])
    ]
  return tested


def save_mistakes(
  path: pathlib.Path, tested: Mapping[str, Any], images: Any
) -> None:
  """Keeps the images of the worst mistakes, for whoever looks at the run.

  Args:
    path: of the file, an .npz with `images`, in the order of `mistakes`.
    tested: the entries of `results.json`.
    images: the test images, uint8 (n, H, W, C).
  """
  rows = [mistake['image'] for mistake in tested.get('mistakes', ())]
  if rows:
    with (
      files.replacing(path) as temporary,
      open(temporary, 'wb') as file,
    ):
      np.savez_compressed(file, images=np.asarray(images)[np.array(rows)])


def record_epoch(
  epoch: int,
  step: int,
  means: dict[str, float],
  tested: dict[str, Any],
  run: Run,
) -> None:
  """Writes and shows what an epoch has come to; `tested` is {} without one."""
  shown = [n for n in ('test_loss', 'test_accuracy') if n in tested]
  test = {name: tested[name] for name in shown}
  run.writer.write('epoch', step, epoch, **means, **test)
  run.screen.progress(console.epoch_line(epoch, means | test))
