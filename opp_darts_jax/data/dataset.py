"""Image data sets on the host: of any source, or of arrays.

Whatever they come from, they are square uint8 images of one size, labels from
0, a training and a test split, and the numbers that normalise a pixel.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import decode, identity, notes
from opp_darts_jax.data.arrays import as_array, source_of
from opp_darts_jax.data.catalogue import find_source
from opp_darts_jax.data.channels import mean_and_std, per_channel
from opp_darts_jax.data.source import Source, check_classes, check_given
from opp_darts_jax.data.split import Split, divide
from opp_darts_jax.errors import DataError, UserError

MIN_IMAGE_SIZE = 4  # two reductions halve it to one pixel

# Fields of a config that say how a data set is made. The others say how it is
# used, as split_seed does, too.
_OF_MAKING = (
  'image_size',
  'background',
  'test_fraction',
  'held_out',
  'max_train',
  'max_test',
  'mean',
  'std',
  'stream',
)


@dataclasses.dataclass(frozen=True, eq=False)
class ImageData:
  """A data set in the memory of the host.

  Attributes:
    name: for messages and reports.
    train: images to search and train on.
    test: images that nothing is chosen by.
    class_names: label k is class_names[k].
    mean: per channel, in units of pixel / 255.
    std: per channel, in units of pixel / 255.
    notes: what was left out or changed on the way in, a short clause each:
      '24 files skipped: .txt 20, .webm 4'.
    tested_on: what the test images are: 'training images held out' in place of
      'test images'.
    config: by which it was made.
  """

  name: str
  train: Split
  test: Split
  class_names: tuple[str, ...]
  mean: tuple[float, ...]
  std: tuple[float, ...]
  notes: tuple[str, ...] = ()
  tested_on: str = 'test images'
  config: DataConfig = DataConfig()

  @property
  def image_shape(self) -> tuple[int, ...]:
    """(H, W, C): C is 1 for grey images, 3 for colour."""
    return self.train.images.shape[1:]

  @property
  def num_train(self) -> int:
    """How many images there are to train on."""
    return len(self.train.labels)

  @property
  def num_test(self) -> int:
    """How many images there are to test on."""
    return len(self.test.labels)

  @property
  def num_classes(self) -> int:
    """How many logits a network needs."""
    return len(self.class_names)

  @functools.cached_property
  def fingerprint(self) -> str:
    """16 hexadecimal digits, of the pixels, labels and class names."""
    return identity.of_splits(self.class_names, self.train, self.test)

  def identity(self) -> dict[str, Any]:
    """What the data set is by content, as JSON has it: see identity.py."""
    return identity.identity(self)


def check_made_by(images: ImageData, config: DataConfig) -> None:
  """Raises `UserError` on a field that comes too late for these images.

  Args:
    images: ready ones.
    config: of their use; what it leaves at its default is as they were made.
  """
  for name in _OF_MAKING:
    wanted, made = getattr(config, name), getattr(images.config, name)
    if wanted not in (made, getattr(DataConfig(), name)):
      raise UserError(
        f'Expected data.{name} as the data set {images.name!r} was made, '
        f'{made!r}, got {wanted!r}; give it to of_arrays, or pass the images '
        'and labels themselves.'
      )


def made_by(images: ImageData, config: DataConfig) -> DataConfig:
  """A config of the use of ready images, with how they were made."""
  made = {name: getattr(images.config, name) for name in _OF_MAKING}
  return dataclasses.replace(config, source=images.name, **made)


def load(config: DataConfig) -> ImageData:
  """Reads the data set that `config.source` names.

  Args:
    config: the source is 'digits', the path of a folder or an .npz file, the
      name of a TFDS data set, any of these as 'KIND:PLACE', or your own as
      'MODULE:NAME' or 'FILE.py:NAME' (see catalogue.py).

  Returns:
    As `of_source` does.

  Raises:
    UserError: if the source is missing or unreadable, or does not hold at least
      two classes of square images of one size.
  """
  source, place = find_source(config.source)
  limited = bool(config.max_train or config.max_test)
  part = source.part if limited else None
  given = (part or source.read)(place, config)
  check_given(given, Source, config.source)
  return _of_source(given, config, divided=part is not None)


def of_arrays(
  images: ArrayLike,
  labels: ArrayLike,
  config: DataConfig = DataConfig(),  # noqa: B008, as it is frozen
  test: tuple[ArrayLike, ArrayLike] | None = None,
  class_names: Sequence[str] = (),
  name: str = 'arrays',
) -> ImageData:
  """The data set of these arrays.

  Args:
    images: (n, H, W) or (n, H, W, C), integers 0..255 or floats 0..1.
    labels: (n,), integers, floats that are whole, or text; bytes are UTF-8.
    config: its source and data_dir mean nothing here.
    test: images and labels to test on; without them a share of the others.
    class_names: label k, an integer, is class_names[k]; without them the labels
      that occur name themselves.
    name: for messages and reports.

  Returns:
    As `of_source` does; the images are a copy.

  Raises:
    UserError: if an array is of another shape, type or length, or does not hold
      at least two classes of square images, or the config wants a stream.
  """
  if config.stream:
    raise UserError(
      'Expected data.stream to be False, as arrays are in memory, got True.'
    )
  return of_source(source_of(images, labels, test, class_names, name), config)


def of_source(source: Source, config: DataConfig) -> ImageData:
  """The data set that a source gave, checked, divided, limited and measured.

  Args:
    source: uint8 images (n, H, W, C) and labels from 0.
    config: says how; its source and data_dir mean nothing here.

  Returns:
    The data set, with every image resized to `config.image_size` if that is set
    (a picture that is not square is squeezed into one, not cropped).

  Raises:
    UserError: if it does not hold at least two classes of square images.
  """
  return _of_source(source, config, divided=False)


def _of_source(source: Source, config: DataConfig, divided: bool) -> ImageData:
  """See `of_source`; what is divided already stays as it is."""
  name, class_names, size = source.name, source.class_names, config.image_size
  check_classes(name, class_names)
  train, said = _checked(source.train, f'{name!r} (train)', class_names, size)
  test = None
  if source.test is not None:
    test, more = _checked(source.test, f'{name!r} (test)', class_names, size)
    said += more
    if train.images.shape[1:] != test.images.shape[1:]:
      raise DataError(
        f'Expected test images of {name!r} to have the shape of its training '
        f'images {train.images.shape[1:]}, got {test.images.shape[1:]}.'
      )
  if test is None or not divided:
    train, test = divide(train, test, config)
  mean, std = mean_and_std(train.images)
  return ImageData(
    name, train, test, tuple(class_names),
    mean=per_channel('mean', config.mean, mean),
    std=per_channel('std', config.std, std),
    notes=(
      *source.notes, *said, *_on_range(train.images),
      *notes.on_held_out(config.held_out, len(test.labels)),
      *notes.on_classes(class_names, train.labels, 'training'),
      *notes.on_classes(class_names, test.labels, 'test'),
    ),
    tested_on=notes.tested_on(config.held_out),
    config=config,
  )  # fmt: skip


def _checked(
  split: Split, what: str, class_names: Sequence[str], size: int
) -> tuple[Split, tuple[str, ...]]:
  """Returns the split at the size asked for, once it is known to be usable."""
  classes = len(class_names)
  images = as_array(f'the images of {what}', split.images)
  labels = as_array(f'the labels of {what}', split.labels)
  if images.ndim != 4 or images.dtype != np.uint8:
    raise DataError(
      f'Expected uint8 images (n, H, W, C) in {what}, got {images.shape} '
      f'{images.dtype}.'
    )
  if labels.ndim != 1 or labels.dtype.kind not in 'iu':
    raise DataError(
      f'Expected integer labels (n,) in {what}, got {labels.shape} '
      f'{labels.dtype}.'
    )
  if len(images) != len(labels):
    raise DataError(
      f'Expected one label per image in {what}, got {len(images)} images and '
      f'{len(labels)} labels.'
    )
  if not len(images):
    raise DataError(f'Expected at least one image in {what}, got none.')
  if labels.min() < 0 or labels.max() >= classes:
    raise DataError(
      f'Expected labels in 0..{classes - 1} in {what}, as there are {classes} '
      f'class names, got {labels.min()}..{labels.max()}.'
    )
  _check_channels_last(what, images.shape)
  stored = images.shape[1:3]
  images = decode.resize(images, size)
  _, height, width, _ = images.shape
  if height != width or height < MIN_IMAGE_SIZE:
    raise DataError(
      f'Expected square images of at least {MIN_IMAGE_SIZE} pixels in {what}, '
      f'got {height} high and {width} wide; set --config.data.image_size=N to '
      'resize them.'
    )
  resized = {stored: len(images)} if stored != (height, width) else {}
  said = notes.on_resized(Counter(resized), (height, width))
  return Split(np.ascontiguousarray(images), labels.astype(np.int32)), said


def _check_channels_last(what: str, shape: tuple[int, ...]) -> None:
  """Raises `DataError` on images that look like (n, C, H, W)."""
  _, first, second, last = shape
  few = first in (1, 3) and last > 3
  if few or first != second == last > 3:
    raise DataError(
      f'Expected images (n, H, W, C) in {what}, got {shape}, in which channels '
      'seem to come first; images.transpose(0, 2, 3, 1) makes them come last.'
    )


def _on_range(images: np.ndarray) -> tuple[str, ...]:
  """Says so if images are all black but for rounding."""
  top = images.max()
  if top > 1:
    return ()
  return (
    'pixels are in 0..1 of 0..255: were floats cast?'
    if top
    else 'pixels are all 0',
  )
