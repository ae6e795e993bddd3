"""Where images come from: one record a source, and what it gives."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data.decode import Encodings
from opp_darts_jax.data.split import Split, divide
from opp_darts_jax.errors import DataError


class Source(NamedTuple):
  """What a source holds; without a test split one is cut from train.

  Attributes:
    name: for messages and reports.
    train: images to train on; all of one size, labels from 0.
    test: images to test on, if there are any of their own.
    class_names: label k is class_names[k].
    notes: what was left out or changed on the way in, a short clause each.
  """

  name: str
  train: Split
  test: Split | None
  class_names: tuple[str, ...]
  notes: tuple[str, ...] = ()


class EncodedSource(NamedTuple):
  """What a source stores; without a test split one is cut from train.

  Attributes:
    name: for messages and reports.
    train: images to train on.
    test: images to test on, if there are any of their own.
    class_names: label k is class_names[k].
    channels: 1 for grey, 3 for colour; 0 where only the images tell.
    notes: what was left out, a short clause each.
  """

  name: str
  train: Encodings
  test: Encodings | None
  class_names: tuple[str, ...]
  channels: int
  notes: tuple[str, ...] = ()


class DataSource(NamedTuple):
  """Images of one kind: what a config's `data.source` names.

  The functions take the place to read from, '' where the name says it all,
  and the config, of which `image_size`, `background` and `data_dir` are theirs
  to heed.
  Splits, limits and the numbers that normalise a pixel are not, but for `part`.

  Attributes:
    name: of the kind: 'folder'.
    read: gives the images, in memory.
    listing: gives them as they are stored, which a stream reads from; None if
      the source has no such form.
    part: gives what `divide` leaves of the images that `read` gives, to train
      and to test on, and holds no others in memory, where there is a limit;
      None if that saves nothing.
  """

  name: str
  read: Callable[[str, DataConfig], Source]
  listing: Callable[[str, DataConfig], EncodedSource] | None = None
  part: Callable[[str, DataConfig], Source] | None = None


class Rows(NamedTuple):
  """Which images of an `EncodedSource` are meant.

  Attributes:
    train: rows (n,) of its `train`.
    images: those of which some are tested on.
    test: rows (m,) of these; none if they are not told apart yet.
  """

  train: np.ndarray
  images: Encodings
  test: np.ndarray


def every_row(stored: EncodedSource) -> Rows:
  """All images, with test images if there are any of their own."""
  train = np.arange(len(stored.train))
  if stored.test is None:
    return Rows(train, stored.train, train[:0])
  return Rows(train, stored.test, np.arange(len(stored.test)))


def rows_left(
  stored: EncodedSource,
  config: DataConfig,
  labels_of: Callable[[Encodings], np.ndarray] = lambda images: images.labels,
) -> Rows:
  """The images to train and to test on, as `divide` leaves them.

  Args:
    stored: all of them.
    config: says how many, as `divide` takes it.
    labels_of: gives the labels (n,) of a split.
  """

  def every(images: Encodings) -> Split:
    return Split(np.arange(len(images), dtype=np.int32), labels_of(images))

  own = None if stored.test is None else every(stored.test)
  train, test = divide(every(stored.train), own, config)
  if stored.test is None or config.held_out:
    return Rows(train.images, stored.train, test.images)
  return Rows(train.images, stored.test, test.images)


def check_classes(name: str, class_names: Sequence[str]) -> None:
  """Raises `DataError` unless a data set has classes to tell apart, as text."""
  for each in class_names:
    if not isinstance(each, str) or not _is_unicode(each):
      raise DataError(
        f'Expected class names of data set {name!r} as text in UTF-8, got '
        f'{each!r}.'
      )
  if len(class_names) < 2:
    raise DataError(
      f'Expected at least 2 classes in data set {name!r}, got '
      f'{len(class_names)}: {", ".join(class_names) or "none"}.'
    )


def _is_unicode(text: str) -> bool:
  try:
    text.encode()
  except UnicodeEncodeError:  # bytes of a file name that are not UTF-8
    return False
  return True


def check_given(given: object, expected: type, source: str) -> None:
  """Raises `DataError` unless a source gave a record of the type expected."""
  if not isinstance(given, expected):
    raise DataError(
      f'Expected the data source {source!r} to give one {expected.__name__}, '
      f'got {type(given).__name__}.'
    )
