"""Data sets of TFDS, without TensorFlow."""

import contextlib
import dataclasses
import difflib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import decode, notes
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
from opp_darts_jax.errors import DataError, first_line

_READ_AT_ONCE = 1024  # records: large enough for TFDS to read in parallel


@dataclasses.dataclass(frozen=True, eq=False)
class Records:
  """The images of a split.

  Attributes:
    source: a random-access TFDS data source that leaves its images encoded.
    what: to call it in a message.
    keys: of the image and the label in a record.
    version: names the data set and its version.
  """

  source: Any
  what: str
  keys: tuple[str, str]
  version: str

  @property
  def labels(self) -> np.ndarray:
    """All 0, as a label is stored beside its image: to see it is to read it."""
    return np.zeros(len(self), np.int32)

  def __len__(self) -> int:
    return len(self.source)

  def __getitem__(self, row: int) -> Encoded:
    with self._damage_told():
      return self._encoded(row, self.source[int(row)])

  def marks(self) -> Iterator[bytes]:
    """The data set's name and version, and the split's name."""
    yield self.version.encode()
    yield self.what.encode()

  def many(self, rows: np.ndarray) -> list[Encoded]:
    """Several images, in less time than one by one."""
    own = rows.tolist()
    with self._damage_told():
      records = self.source.__getitems__(own)
    return [self._encoded(row, record) for row, record in zip(own, records)]

  def _encoded(self, row: int, record: dict[str, Any]) -> Encoded:
    image, label = (record[key] for key in self.keys)
    return Encoded(image, f'image {row} of {self.what}', int(label))

  @contextlib.contextmanager
  def _damage_told(self) -> Iterator[None]:
    try:
      yield
    except (OSError, RuntimeError, ValueError, IndexError) as error:
      raise DataError(
        f'Expected the files of {self.what} to stay readable, got: '
        f'{first_line(error)}.'
      ) from error


def read(name: str, config: DataConfig) -> Source:
  """Reads a data set, which TFDS downloads if it is not prepared yet.

  Raises:
    DataError: if TFDS or the data set is missing, or does not suit.
  """
  stored = listing(name, config)
  return _decoded(stored, every_row(stored), config)


def part(name: str, config: DataConfig) -> Source:
  """Reads of the images of `read` those that the config leaves.

  What the notes say of images they say of these.

  Raises:
    UserError: if it leaves none to train or to test on.
    DataError: as `read` does.
  """
  stored = listing(name, config)
  check_classes(stored.name, stored.class_names)
  return _decoded(stored, rows_left(stored, config, _labels), config)


def listing(name: str, config: DataConfig) -> EncodedSource:
  """Opens what `read` reads, without reading the images.

  Raises:
    DataError: if TFDS or the data set is missing, or does not suit.
  """
  try:
    import tensorflow_datasets as tfds  # seconds to import, and optional
  except ImportError as error:
    raise DataError(
      f'Data set {name!r} needs TFDS, which is not installed: pip install '
      'tensorflow-datasets array_record.'
    ) from error

  builder = _builder(tfds, name, config.data_dir)
  info = builder.info
  image_key, label_key = (info.supervised_keys or ('image', 'label'))[:2]
  features = dict(info.features.items())
  image, label = features.get(image_key), features.get(label_key)
  if (
    not isinstance(image, tfds.features.Image)
    or not isinstance(label, tfds.features.ClassLabel)
    or image.np_dtype != np.uint8
  ):
    raise DataError(
      f'Expected TFDS data set {name!r} to have 8-bit images and one class '
      f'label each, got the features {", ".join(features)}.'
    )
  if 'train' not in info.splits:
    raise DataError(
      f"Expected TFDS data set {name!r} to have a split 'train', got "
      f'{", ".join(info.splits)}.'
    )
  # The bytes are decoded here: TFDS complains when it has no OpenCV.
  skip = {image_key: tfds.decode.SkipDecoding()}
  try:
    splits = {
      key: Records(
        builder.as_data_source(key, decoders=skip),
        f'{name} ({key})',
        (image_key, label_key),
        info.full_name,
      )
      for key in ('train', 'test', 'validation')
      if key in info.splits
    }
  except NotImplementedError as error:
    raise DataError(
      f'Expected TFDS data set {name!r} prepared as array_record, got another '
      f'format in {builder.data_dir}; set --config.data.data_dir to an empty '
      'folder to prepare it anew.'
    ) from error
  # Some test splits are published with every label withheld, as -1.
  tests = [
    key
    for key, part in splits.items()
    if key != 'train' and len(part) and part[0].label >= 0
  ][:1]
  unused = sorted({*info.splits} - {'train', *tests})
  channels = 1 if image.shape[-1] == 1 else 3
  return EncodedSource(
    name,
    splits['train'],
    splits[tests[0]] if tests else None,
    tuple(label.names),
    channels,
    notes.on_unused(unused),
  )


def _builder(tfds: Any, name: str, data_dir: str) -> Any:
  """Returns the builder of a data set that is prepared, if need be just now."""
  folder = os.path.expanduser(data_dir) if data_dir else None
  try:
    builder = tfds.builder(name, data_dir=folder, file_format='array_record')
  except tfds.core.registered.DatasetNotFoundError as error:
    known = tfds.list_builders(with_community_datasets=False)
    close = difflib.get_close_matches(name.split('/')[0], known)
    hint = f'; did you mean {" or ".join(close)}?' if close else '.'
    raise DataError(
      f'Unknown data set {name!r}: neither digits, a folder or an .npz file '
      f'that exists, nor the name of a TFDS data set{hint}'
    ) from error
  except (ValueError, RuntimeError, AssertionError) as error:
    raise DataError(
      f'Expected the name of a TFDS data set, got {name!r}: '
      f'{first_line(error)}.'
    ) from error
  try:
    builder.download_and_prepare()
  except Exception as error:  # whatever a download or its parser may raise
    raise DataError(
      f'TFDS data set {name!r} is not prepared in {builder.data_dir} and could '
      f'not be downloaded ({type(error).__name__}: {first_line(error)}); '
      'prepare it there on a machine with a network, or set '
      '--config.data.data_dir to where it is.'
    ) from error
  return builder


def _labels(records: Any) -> np.ndarray:
  """The labels of the `Records` of a split, of which the images are dropped."""
  parts = map(records.many, _at_once(np.arange(len(records))))
  return np.array([one.label for part in parts for one in part], np.int32)


def _at_once(rows: np.ndarray) -> Iterator[np.ndarray]:
  for start in range(0, len(rows), _READ_AT_ONCE):
    yield rows[start : start + _READ_AT_ONCE]


def _decoded(stored: EncodedSource, chosen: Rows, config: DataConfig) -> Source:
  """The images of these rows."""
  channels = stored.channels
  train, seen = _split(stored.train, chosen.train, channels, config)
  test, more = _split(chosen.images, chosen.test, channels, config)
  return Source(
    stored.name,
    train,
    None if stored.test is None and not len(chosen.test) else test,
    stored.class_names,
    (*stored.notes, *notes.on_pictures([*seen, *more])),
  )


def _split(
  records: Any, rows: np.ndarray, channels: int, config: DataConfig
) -> tuple[Split, list[Picture]]:
  """Reads and decodes some of the `Records` of a split."""
  order, labels = np.argsort(rows), np.empty(len(rows), np.int32)

  # In one thread: Python's lock, not the decoding, is the limit here.
  def decoded() -> Iterator[tuple[str, Picture]]:
    for places in _at_once(order):
      for place, one in zip(places, records.many(rows[places])):
        labels[place] = one.label
        yield (
          one.what,
          decode.decode(one, config.image_size, config.background, channels),
        )

  pixels, seen = gather(decoded(), len(rows), order)
  return Split(pixels, labels), seen


SOURCE = DataSource('tfds', read, listing, part)
