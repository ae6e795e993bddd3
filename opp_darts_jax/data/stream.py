"""Data sets that memory does not hold: read and decoded while training.

The order of the images and their random crops follow from the seed and the
number of the batch alone, so a run goes on with the batch after its last one,
and no state of an iterator is kept. Worker processes change no number.
"""

import dataclasses
import functools
from collections.abc import Generator, Sequence
from concurrent import futures
from typing import Any

import numpy as np

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import gathering, identity, notes, workers
from opp_darts_jax.data.catalogue import find_source
from opp_darts_jax.data.channels import mean_and_std, per_channel
from opp_darts_jax.data.decode import Selection
from opp_darts_jax.data.source import (
  EncodedSource,
  Rows,
  check_classes,
  check_given,
  rows_left,
)
from opp_darts_jax.data.workers import Batch
from opp_darts_jax.errors import UserError

_MEASURED = 1024  # images that tell mean, deviation and the number of channels


@dataclasses.dataclass(frozen=True, eq=False)
class Streamed:
  """A data set of which batches are read.

  Attributes:
    name: for messages and reports.
    class_names: label k is class_names[k].
    image_shape: (H, W, C): C is 1 for grey images, 3 for colour.
    mean: per channel, in units of pixel / 255.
    std: per channel, in units of pixel / 255.
    train: images to train on.
    test: images that nothing is chosen by.
    seed: decides the order of training images and what is cut from them.
    workers: processes that decode; 0 decodes in threads.
    source: what the config calls it.
    notes: what was left out or changed on the way in, a short clause each.
    tested_on: what the test images are, as of `ImageData`.
  """

  name: str
  class_names: tuple[str, ...]
  image_shape: tuple[int, ...]
  mean: tuple[float, ...]
  std: tuple[float, ...]
  train: Selection
  test: Selection
  seed: int
  workers: int
  source: str
  notes: tuple[str, ...] = ()
  tested_on: str = 'test images'

  @property
  def num_train(self) -> int:
    """How many images there are to train on."""
    return len(self.train)

  @property
  def num_test(self) -> int:
    """How many images there are to test on."""
    return len(self.test)

  @property
  def num_classes(self) -> int:
    """How many logits a network needs."""
    return len(self.class_names)

  @functools.cached_property
  def fingerprint(self) -> str:
    """16 hexadecimal digits, of what is stored, by its listing.

    That is names, labels and sizes of all files of a folder; name, version and
    split sizes of a tfds data set. Pixels that change in a file of the same
    name and size change no digit. For a folder it asks each file's size, once.

    Raises:
      DataError: if a file is gone.
    """
    return identity.of_listings(
      self.class_names, self.train.images, self.test.images
    )

  def identity(self) -> dict[str, Any]:
    """What the data set is by content, as JSON has it: see identity.py."""
    return identity.identity(self)

  def train_batches(
    self, batch_size: int, start: int, own: Sequence[int] | None = None
  ) -> Generator[Batch, None, None]:
    """Batches without end: an epoch has num_train // batch_size of them.

    Args:
      batch_size: images in a batch.
      start: batches already taken; the first one is the next.
      own: which rows of each batch are read, ascending; None is all.

    Yields:
      Images uint8 (B, H, W, C) and labels int32 (B,), of these rows.

    Raises:
      DataError: if an image cannot be read any more.
    """
    import grain  # a second to import

    per_epoch = self.num_train // batch_size * batch_size
    images = (
      grain.MapDataset.source(self.train.rows)
      .seed(self.seed)
      .shuffle()
      .random_map(self.train.cut_at_random)
    )
    rest = images[:per_epoch].repeat()[start * batch_size :]
    return self._batches(rest, batch_size, own)

  def test_batches(
    self, batch_size: int, own: Sequence[int] | None = None
  ) -> Generator[Batch, None, None]:
    """All test images in order; the first ones again fill up the last batch.

    Args:
      batch_size: images in a batch.
      own: which rows of each batch are read, ascending; None is all.

    Yields:
      Images uint8 (B, H, W, C) and labels int32 (B,), of these rows.

    Raises:
      DataError: if an image cannot be read any more.
    """
    import grain  # a second to import

    images = grain.MapDataset.source(self.test.rows).map(self.test.cut_centre)
    whole = -(-self.num_test // batch_size) * batch_size
    return self._batches(images.repeat()[:whole], batch_size, own)

  def _batches(
    self, images: Any, batch_size: int, own: Sequence[int] | None
  ) -> Generator[Batch, None, None]:
    return workers.batches(images, batch_size, own, self.workers, self.source)


def open_stream(config: DataConfig, seed: int) -> Streamed:
  """Opens the data set that `config.source` names, reading few of its images.

  Args:
    config: the source is a folder, the name of a TFDS data set, or your own
      that has a listing.
    seed: decides the order of training images and what is cut from them.

  Returns:
    The data set. Its number of channels, its notes on images and, where the
    config gives none, its mean and deviation are those of up to 1,024 training
    images, cut as for a test.

  Raises:
    UserError: if the source is missing, unreadable or of another kind.
  """
  source, place = find_source(config.source)
  if source.listing is None:
    raise UserError(
      'data.stream reads a folder of class folders, a tfds data set or your '
      f'own DataSource with a listing; got data.source={config.source!r}, '
      'which memory holds: leave data.stream False.'
    )
  stored = source.listing(place, config)
  check_given(stored, EncodedSource, config.source)
  check_classes(stored.name, stored.class_names)
  train, tested, test = chosen = rows_left(stored, config)
  rng = np.random.default_rng(config.split_seed)
  sample = rng.permutation(train)[:_MEASURED]
  part = functools.partial(
    Selection,
    size=config.image_size,
    resized_crop=config.crop == 'resized',
    background=config.background,
  )
  looked_at = part(stored.train, sample, stored.channels)
  with futures.ThreadPoolExecutor() as pool:
    images, pictures = gathering.gather(
      zip(map(str, sample), pool.map(looked_at.centre, sample)), len(sample)
    )
  mean, std = mean_and_std(images)
  said = notes.on_pictures(pictures)
  if len(sample) < len(train):
    said = tuple(f'of {len(sample):,} images looked at, {on}' for on in said)
  channels = images.shape[-1]
  return Streamed(
    stored.name,
    stored.class_names,
    (config.image_size, config.image_size, channels),
    per_channel('mean', config.mean, mean),
    per_channel('std', config.std, std),
    part(stored.train, train, channels),
    part(tested, test, channels),
    seed,
    config.workers,
    config.source,
    (
      *stored.notes,
      *said,
      *notes.on_held_out(config.held_out, len(test)),
      *_on_classes(stored, chosen),
    ),
    notes.tested_on(config.held_out),
  )


def _on_classes(stored: EncodedSource, chosen: Rows) -> tuple[str, ...]:
  """Says which classes have no images, where labels are known unread."""
  labels = stored.train.labels
  if not labels.any():
    return ()
  names = stored.class_names
  return (
    *notes.on_classes(names, labels[chosen.train], 'training'),
    *notes.on_classes(names, chosen.images.labels[chosen.test], 'test'),
  )
