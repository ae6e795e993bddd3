"""Data sets in a folder of class folders, with or without train and test."""

import dataclasses
import functools
import os
import pathlib
from collections import Counter
from collections.abc import Iterator
from concurrent import futures

import numpy as np

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import decode, layout, notes, walk
from opp_darts_jax.data.decode import Encoded, Picture
from opp_darts_jax.data.gathering import gather
from opp_darts_jax.data.source import (
  DataSource,
  EncodedSource,
  Rows,
  Source,
  check_classes,
  every_row,
  rows_left,
)
from opp_darts_jax.data.split import Split
from opp_darts_jax.errors import DataError, check_choice, first_line


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
    return Encoded(path, walk.printable(path), int(self.labels[row]))

  def marks(self) -> Iterator[bytes]:
    """The names, labels and sizes of the files.

    Raises:
      DataError: if a file is gone.
    """
    yield b'\0'.join(self.names.tolist())
    yield self.labels.astype('<i4').tobytes()
    root = os.fsencode(self.root)
    try:
      sizes = [
        os.stat(os.path.join(root, name)).st_size
        for name in self.names.tolist()
      ]
    except OSError as error:
      raise DataError(
        f'Expected images that can be read, got: {first_line(error)}.'
      ) from error
    yield np.array(sizes, '<i8').tobytes()


def read(path: str, config: DataConfig) -> Source:
  """Reads PATH/CLASS/IMAGE, or PATH/train/CLASS/IMAGE and PATH/test/...

  Raises:
    DataError: if the folders are not laid out so, or an image is damaged or of
      another size than the rest.
  """
  listed = listing(path, config)
  return _decoded(listed, every_row(listed), config)


def part(path: str, config: DataConfig) -> Source:
  """Reads of the images of `read` those that the config leaves.

  What the notes say of images they say of these.

  Raises:
    UserError: if it leaves none to train or to test on.
    DataError: as `read` does.
  """
  listed = listing(path, config)
  check_classes(listed.name, listed.class_names)
  return _decoded(listed, rows_left(listed, config), config)


def _decoded(listed: EncodedSource, chosen: Rows, config: DataConfig) -> Source:
  """The images of these rows."""
  train, test_images, test = chosen
  stored = [listed.train, *([] if listed.test is None else [listed.test])]
  ends = np.cumsum([len(images) for images in stored])
  offset = 0 if test_images is listed.train else ends[0]
  rows = np.concatenate([train, test + offset])
  order = np.argsort(rows)  # As they are listed, which a message tells.
  rest = np.setdiff1d(np.arange(ends[-1]), rows)
  decoded = functools.partial(
    decode.decode, size=config.image_size, background=config.background
  )
  with futures.ThreadPoolExecutor() as pool:

    def pictures(rows: np.ndarray) -> Iterator[tuple[str, Picture]]:
      images = [
        stored[0][row] if row < ends[0] else stored[1][row - ends[0]]
        for row in rows.tolist()
      ]
      return zip((image.what for image in images), pool.map(decoded, images))

    pixels, seen = gather(pictures(rows[order]), len(rows), order)
    # Whether they are in colour is that of the data set, not of a part.
    if pixels.shape[-1] == 1 and any(
      picture.pixels.shape[-1] > 1 for _, picture in pictures(rest)
    ):
      grey = (('', picture) for picture in seen)
      pixels, seen = gather(grey, len(rows), order, channels=3)
  return Source(
    listed.name,
    Split(pixels[: len(train)], listed.train.labels[train]),
    None
    if listed.test is None and not len(test)
    else Split(pixels[len(train) :], test_images.labels[test]),
    listed.class_names,
    (*listed.notes, *notes.on_pictures(seen)),
  )


def listing(path: str, config: DataConfig) -> EncodedSource:
  """Lists what `read` reads, opening only files without the suffix of an image.

  Class names are in Unicode NFC; those of a test folder are matched in it.

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
  splits = layout.find_splits(root)
  skipped: Counter[str] = Counter()
  classes = layout.class_folders(splits.train)
  names = tuple(classes)
  train = _files(splits.train, classes, names, skipped)
  test, said = None, layout.stray_images(splits.train)
  if splits.test:
    test_classes = layout.class_folders(splits.test)
    for name in test_classes:
      check_choice(f'class folder in {str(splits.test)!r}', name, names)
    test = _files(splits.test, test_classes, names, skipped)
    said += layout.stray_images(splits.test)
  return EncodedSource(
    walk.printable(root.resolve().name),
    train,
    test,
    names,
    channels=0,
    notes=(*splits.notes, *said, *notes.on_skipped(skipped)),
  )


def _files(
  root: pathlib.Path,
  classes: dict[str, pathlib.Path],
  names: tuple[str, ...],
  skipped: Counter[str],
) -> Files:
  """The images of the class folders; counts what is none in `skipped`."""
  paths: list[bytes] = []
  labels: list[int] = []
  for name, folder in classes.items():
    found = walk.find_images(folder)
    if not found.images:
      others = notes.on_skipped(found.skipped) or ('none',)
      raise DataError(
        f'Expected images that Pillow can read in class folder '
        f'{str(folder)!r}, got {others[0]}.'
      )
    paths += [os.fsencode(f'{folder.name}/{image}') for image in found.images]
    labels += [names.index(name)] * len(found.images)
    skipped.update(found.skipped)
  return Files(root, np.array(paths), np.array(labels, np.int32))


SOURCE = DataSource('folder', read, listing, part)
