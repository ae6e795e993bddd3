"""Data sets in a folder of class folders, with or without train and test."""

import pathlib
from concurrent import futures

import numpy as np

from opp_darts_jax import data_images
from opp_darts_jax.config import DataConfig
from opp_darts_jax.data_split import Source, Split
from opp_darts_jax.errors import UserError, check_choice

SUFFIXES = (
  '.bmp', '.gif', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff',
  '.webp',
)  # fmt: skip
TEST_FOLDERS = ('test', 'val', 'valid', 'validation')

_Classes = dict[str, list[pathlib.Path]]


def read(path: str, config: DataConfig) -> Source:
  """Reads PATH/CLASS/IMAGE, or PATH/train/CLASS/IMAGE and PATH/test/...

  Raises:
    UserError: if the folders are not laid out so, or an image is damaged or of
      another size than the rest.
  """
  root = pathlib.Path(path).expanduser()
  if not root.is_dir():
    raise UserError(
      f'Expected a folder of class folders, got {str(root)!r}, which is not a '
      'folder.'
    )
  train_files, test_files = _files(root)
  names = tuple(train_files)
  with futures.ThreadPoolExecutor() as pool:
    channels = _channels([train_files, test_files], pool, config.image_size)

    def decode(path: pathlib.Path) -> np.ndarray:
      return data_images.decode(path, str(path), channels, config.image_size)

    def split(classes: _Classes) -> Split:
      paths = [path for name in classes for path in classes[name]]
      labels = [names.index(name) for name in classes for _ in classes[name]]
      return Split(np.stack(list(pool.map(decode, paths))), np.asarray(labels))

    test = split(test_files) if test_files else None
    return Source(root.resolve().name, split(train_files), test, names)


def _files(root: pathlib.Path) -> tuple[_Classes, _Classes]:
  """Returns the files to train on and those to test on, if there are any."""
  # A class may be called train, too: then it holds images and no folders.
  if not _subfolders(root / 'train'):
    return _class_files(root), {}
  train = _class_files(root / 'train')
  for folder in (root / name for name in TEST_FOLDERS):
    if folder.is_dir():
      test = _class_files(folder)
      for name in test:
        check_choice(f'class folder in {str(folder)!r}', name, train)
      return train, test
  return train, {}


def _subfolders(root: pathlib.Path) -> list[pathlib.Path]:
  if not root.is_dir():
    return []
  visible = (p for p in root.iterdir() if not p.name.startswith('.'))
  return sorted(path for path in visible if path.is_dir())


def _class_files(root: pathlib.Path) -> _Classes:
  """Returns the image files of each class folder, both in order of name."""
  files = {folder.name: _images(folder) for folder in _subfolders(root)}
  if not files:
    raise UserError(
      f'Expected one folder per class in {str(root)!r}, got no folders.'
    )
  return files


def _images(folder: pathlib.Path) -> list[pathlib.Path]:
  visible = (p for p in folder.iterdir() if not p.name.startswith('.'))
  images = sorted(p for p in visible if p.suffix.lower() in SUFFIXES)
  if not images:
    raise UserError(
      f'Expected images in class folder {str(folder)!r}, got none; '
      f'valid are files ending in {", ".join(SUFFIXES)}.'
    )
  return images


def _channels(splits: list[_Classes], pool: futures.Executor, size: int) -> int:
  """Returns 1 if all images are grey, else 3, from the heads of the files.

  Raises:
    UserError: if the images differ in size and `size` is 0, which is said here,
      before time goes into decoding.
  """

  def head(path: pathlib.Path) -> tuple[str, tuple[int, int]]:
    with data_images.opened(path, str(path)) as image:
      return image.mode, (image.height, image.width)

  files = [p for split in splits for paths in split.values() for p in paths]
  modes, shapes = zip(*pool.map(head, files))
  for path, mode, shape in zip(files, modes, shapes):
    if mode.startswith(('I', 'F')):
      raise UserError(
        f'Expected images of 8 bits per channel, got {path} in mode {mode}.'
      )
    if not size:
      data_images.check_one_size(str(files[0]), shapes[0], str(path), shape)
  return 1 if set(modes) <= {'1', 'L'} else 3
