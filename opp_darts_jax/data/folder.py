"""Data sets in a folder of class folders, with or without train and test."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Sequence
from concurrent import futures

import numpy as np

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import decode
from opp_darts_jax.data.decode import Encoded, Encodings
from opp_darts_jax.data.source import DataSource, EncodedSource, Source
from opp_darts_jax.data.split import Split
from opp_darts_jax.errors import DataError, check_choice

SUFFIXES = (
  '.bmp', '.gif', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff',
  '.webp',
)  # fmt: skip
TEST_FOLDERS = ('test', 'val', 'valid', 'validation')

_Classes = dict[str, list[str]]


@dataclasses.dataclass(frozen=True, eq=False)
class Files:
  """The images of a split; small even where they are millions.

  Attributes:
    root: folder of the class folders.
    names: paths below it, as bytes (n,).
    labels: int32 (n,).
  """

  root: pathlib.Path
  names: np.ndarray
  labels: np.ndarray

  def __len__(self) -> int:
    return len(self.names)

  def __getitem__(self, row: int) -> Encoded:
    path = self.root / os.fsdecode(self.names[row])
    return Encoded(path, str(path), int(self.labels[row]))


def read(path: str, config: DataConfig) -> Source:
  """Reads PATH/CLASS/IMAGE, or PATH/train/CLASS/IMAGE and PATH/test/...

  Raises:
    DataError: if the folders are not laid out so, or an image is damaged or of
      another size than the rest.
  """
  listed = listing(path, config)
  train = _all(listed.train)
  test = _all(listed.test) if listed.test is not None else []
  with futures.ThreadPoolExecutor() as pool:
    channels = count_channels([*train, *test], pool, config.image_size)
    decoded = functools.partial(
      decode.decode, channels=channels, size=config.image_size
    )

    def split(images: list[Encoded]) -> Split:
      labels = np.asarray([image.label for image in images])
      return Split(np.stack(list(pool.map(decoded, images))), labels)

    return Source(
      listed.name,
      split(train),
      split(test) if test else None,
      listed.class_names,
    )


def listing(path: str, config: DataConfig) -> EncodedSource:
  """Lists what `read` reads, without opening an image.

  Raises:
    DataError: if the folders are not laid out as `read` expects.
  """
  del config  # nothing to choose
  root = pathlib.Path(path).expanduser()
  if not root.is_dir():
    raise DataError(
      f'Expected a folder of class folders, got {str(root)!r}, which is not a '
      'folder.'
    )
  # A class may be called train, too: then it holds images and no folders.
  train_root = root / 'train' if _subfolders(root / 'train') else root
  classes = _class_files(train_root)
  names = tuple(classes)
  test = None
  if train_root != root:
    folders = [root / name for name in TEST_FOLDERS if (root / name).is_dir()]
    for folder in folders[:1]:
      test_classes = _class_files(folder)
      for name in test_classes:
        check_choice(f'class folder in {str(folder)!r}', name, names)
      test = _files(folder, test_classes, names)
  train = _files(train_root, classes, names)
  return EncodedSource(root.resolve().name, train, test, names, channels=0)


def count_channels(
  images: Sequence[Encoded], pool: futures.Executor, size: int
) -> int:
  """Returns 1 if all images are grey, else 3, from the heads of the files.

  Raises:
    DataError: if the images differ in size and `size` is 0, which is said here,
      before time goes into decoding.
  """

  def head(image: Encoded) -> tuple[str, tuple[int, int]]:
    with decode.opened(image) as file:
      return file.mode, (file.height, file.width)

  modes, shapes = zip(*pool.map(head, images))
  for image, mode, shape in zip(images, modes, shapes):
    decode.check_mode(image.what, mode)
    if not size:
      decode.check_one_size(images[0].what, shapes[0], image.what, shape)
  return 1 if set(modes) <= {'1', 'L'} else 3


def _all(images: Encodings) -> list[Encoded]:
  return [images[row] for row in range(len(images))]


def _files(
  root: pathlib.Path, classes: _Classes, names: tuple[str, ...]
) -> Files:
  paths = [
    os.fsencode(os.path.join(name, image))
    for name, images in classes.items()
    for image in images
  ]
  counts = [len(images) for images in classes.values()]
  labels = np.repeat([names.index(name) for name in classes], counts)
  return Files(root, np.array(paths), labels.astype(np.int32))


def _subfolders(root: pathlib.Path) -> list[pathlib.Path]:
  if not root.is_dir():
    return []
  visible = (p for p in root.iterdir() if not p.name.startswith('.'))
  return sorted(path for path in visible if path.is_dir())


def _class_files(root: pathlib.Path) -> _Classes:
  """Returns the image files of each class folder, both in order of name."""
  files = {folder.name: _images(folder) for folder in _subfolders(root)}
  if not files:
    raise DataError(
      f'Expected one folder per class in {str(root)!r}, got no folders.'
    )
  return files


def _images(folder: pathlib.Path) -> list[str]:
  visible = (name for name in os.listdir(folder) if not name.startswith('.'))
  images = sorted(n for n in visible if n.lower().endswith(SUFFIXES))
  if not images:
    raise DataError(
      f'Expected images in class folder {str(folder)!r}, got none; '
      f'valid are files ending in {", ".join(SUFFIXES)}.'
    )
  return images


SOURCE = DataSource('folder', read, listing)
