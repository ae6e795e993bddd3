"""Image data sets on the host: from scikit-learn, TFDS, folders and npz files.

Whatever the source, `load` gives square uint8 images of one size, labels from
0, a training and a test split, and the numbers that normalise a pixel.
"""

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import decode, folder, npz, tfds
from opp_darts_jax.data.split import Source, Split, halves, subset
from opp_darts_jax.errors import DataError

MIN_IMAGE_SIZE = 4  # two reductions halve it to one pixel


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
  """

  name: str
  train: Split
  test: Split
  class_names: tuple[str, ...]
  mean: tuple[float, ...]
  std: tuple[float, ...]

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


def load(config: DataConfig) -> ImageData:
  """Reads the data set that `config.source` names.

  Args:
    config: the source is 'digits', the path of a folder or an .npz file, or the
      name of a TFDS data set; 'folder:PATH', 'npz:PATH' and 'tfds:NAME' settle
      what a bare word means.

  Returns:
    The data set, with every image resized to `config.image_size` if that is set
    (a picture that is not square is squeezed into one, not cropped).

  Raises:
    UserError: if the source is missing or unreadable, or does not hold at least
      two classes of square images of one size.
  """
  kind, place = parse(config.source)
  name, train, test, class_names = _READERS[kind](place, config)
  check_classes(name, class_names)
  train = _checked(train, f'{name!r} (train)', config.image_size)
  if test is None:
    fraction = 1 - config.test_fraction
    kept, held = halves(train.labels, fraction, config.split_seed)
    train, test = train.take(kept), train.take(held)
  else:
    test = _checked(test, f'{name!r} (test)', config.image_size)
    if train.images.shape[1:] != test.images.shape[1:]:
      raise DataError(
        f'Expected test images of {name!r} to have the shape of its training '
        f'images {train.images.shape[1:]}, got {test.images.shape[1:]}.'
      )
  train = subset(train, 'max_train', config.max_train, config.split_seed)
  test = subset(test, 'max_test', config.max_test, config.split_seed)
  mean, std = mean_and_std(train.images)
  return ImageData(
    name, train, test, class_names,
    mean=per_channel('mean', config.mean, mean),
    std=per_channel('std', config.std, std),
  )  # fmt: skip


def check_classes(name: str, class_names: Sequence[str]) -> None:
  """Raises `DataError` unless a data set has classes to tell apart."""
  if len(class_names) < 2:
    raise DataError(
      f'Expected at least 2 classes in data set {name!r}, got '
      f'{len(class_names)}: {", ".join(class_names)}.'
    )


def mean_and_std(
  images: np.ndarray,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Returns mean and deviation per channel of uint8 images, in pixel / 255.

  They come from a histogram, exact and without a float copy of the images. A
  channel of one constant value gets the deviation of one grey level, not 0.
  """
  channels = images.shape[-1]
  histogram = np.zeros((channels, 256))
  for part in np.array_split(images, 1 + len(images) // 1024):
    for c in range(channels):
      histogram[c] += np.bincount(part[..., c].ravel(), minlength=256)
  weight = histogram / histogram.sum(1, keepdims=True)
  level = np.arange(256) / 255
  mean = weight @ level
  variance = (weight * (level - mean[:, None]) ** 2).sum(1)
  std = np.where(variance > 0, np.sqrt(variance), 1 / 255)
  return tuple(mean.tolist()), tuple(std.tolist())


def parse(source: str) -> tuple[str, str]:
  """Returns which reader a source means and what that reader is to read."""
  kind, colon, place = source.partition(':')
  if colon and kind in ('tfds', 'folder', 'npz') and place:
    return kind, place
  if source == 'digits':
    return 'digits', source
  if source.endswith('.npz'):
    return 'npz', source
  if source.startswith(('/', './', '../', '~')) or os.path.isdir(source):
    return 'folder', source
  return 'tfds', source


def per_channel(
  field: str, given: Iterable[float], computed: tuple[float, ...]
) -> tuple[float, ...]:
  """Returns the numbers given, if any and if they suit, or those computed."""
  numbers = tuple(float(number) for number in given)
  if not numbers:
    return computed
  if len(numbers) != len(computed):
    raise DataError(
      f'Expected {field} to be empty or one number for each of the '
      f'{len(computed)} channels, got {numbers}.'
    )
  if field == 'std' and min(numbers) <= 0:
    raise DataError(f'Expected every std to be above 0, got {numbers}.')
  return numbers


def _checked(split: Split, what: str, size: int) -> Split:
  """Returns the split at the size asked for, once it is known to be usable."""
  images, labels = split
  if len(images) != len(labels):
    raise DataError(
      f'Expected one label per image in {what}, got {len(images)} images and '
      f'{len(labels)} labels.'
    )
  if not len(images):
    raise DataError(f'Expected at least one image in {what}, got none.')
  images = decode.resize(images, size)
  _, height, width, _ = images.shape
  if height != width or height < MIN_IMAGE_SIZE:
    raise DataError(
      f'Expected square images of at least {MIN_IMAGE_SIZE} pixels in {what}, '
      f'got {height} high and {width} wide; set --config.data.image_size=N to '
      'resize them.'
    )
  return Split(np.ascontiguousarray(images), labels.astype(np.int32))


def _read_digits(_: str, config: DataConfig) -> Source:
  del config  # nothing to choose
  from sklearn import datasets  # a second to import

  digits = datasets.load_digits()
  images = np.round(digits.images * (255 / 16)).astype(np.uint8)
  names = tuple(str(name) for name in digits.target_names)
  return Source('digits', Split(images[..., None], digits.target), None, names)


_READERS: dict[str, Callable[[str, DataConfig], Source]] = {
  'digits': _read_digits,
  'tfds': tfds.read,
  'folder': folder.read,
  'npz': npz.read,
}
