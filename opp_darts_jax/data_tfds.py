"""Data sets of TFDS, without TensorFlow."""

import difflib
import io
import os
from typing import Any

import numpy as np

from opp_darts_jax import data_images
from opp_darts_jax.config import DataConfig
from opp_darts_jax.data_images import first_line
from opp_darts_jax.data_split import Source, Split
from opp_darts_jax.errors import UserError

_READ_AT_ONCE = 1024  # records: large enough for TFDS to read in parallel


def read(name: str, config: DataConfig) -> Source:
  """Reads a data set, which TFDS downloads if it is not prepared yet.

  Raises:
    UserError: if TFDS or the data set is missing, or does not suit.
  """
  try:
    import tensorflow_datasets as tfds  # seconds to import, and optional
  except ImportError as error:
    raise UserError(
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
    raise UserError(
      f'Expected TFDS data set {name!r} to have 8-bit images and one class '
      f'label each, got the features {", ".join(features)}.'
    )
  if 'train' not in info.splits:
    raise UserError(
      f"Expected TFDS data set {name!r} to have a split 'train', got "
      f'{", ".join(info.splits)}.'
    )
  # The bytes are decoded here: TFDS complains when it has no OpenCV.
  skip = {image_key: tfds.decode.SkipDecoding()}
  splits = [s for s in ('train', 'test', 'validation') if s in info.splits]
  try:
    sources = {s: builder.as_data_source(s, decoders=skip) for s in splits}
  except NotImplementedError as error:
    raise UserError(
      f'Expected TFDS data set {name!r} prepared as array_record, got another '
      f'format in {builder.data_dir}; set --config.data.data_dir to an empty '
      'folder to prepare it anew.'
    ) from error

  def split(key: str) -> Split:
    channels = 1 if image.shape[-1] == 1 else 3
    keys = (image_key, label_key)
    what = f'{name} ({key})'
    return _split(sources[key], what, keys, channels, config.image_size)

  # Some test splits are published with every label withheld, as -1.
  tests = [
    key
    for key in splits[1:]
    if len(sources[key]) and sources[key][0][label_key] >= 0
  ]
  test = split(tests[0]) if tests else None
  return Source(name, split('train'), test, tuple(label.names))


def _builder(tfds: Any, name: str, data_dir: str) -> Any:
  """Returns the builder of a data set that is prepared, if need be just now."""
  folder = os.path.expanduser(data_dir) if data_dir else None
  try:
    builder = tfds.builder(name, data_dir=folder, file_format='array_record')
  except tfds.core.registered.DatasetNotFoundError as error:
    known = tfds.list_builders(with_community_datasets=False)
    close = difflib.get_close_matches(name.split('/')[0], known)
    hint = f'; did you mean {" or ".join(close)}?' if close else '.'
    raise UserError(
      f'Unknown data set {name!r}: neither digits, a folder or an .npz file '
      f'that exists, nor the name of a TFDS data set{hint}'
    ) from error
  except (ValueError, RuntimeError) as error:
    raise UserError(
      f'Expected the name of a TFDS data set, got {name!r}: '
      f'{first_line(error)}.'
    ) from error
  try:
    builder.download_and_prepare()
  except Exception as error:  # whatever a download or its parser may raise
    raise UserError(
      f'TFDS data set {name!r} is not prepared in {builder.data_dir} and could '
      f'not be downloaded ({type(error).__name__}: {first_line(error)}); '
      'prepare it there on a machine with a network, or set '
      '--config.data.data_dir to where it is.'
    ) from error
  return builder


def _split(
  source: Any, what: str, keys: tuple[str, str], channels: int, size: int
) -> Split:
  """Reads a data source that leaves its images encoded.

  Args:
    source: a random-access TFDS data source.
    what: to call it in a message.
    keys: of the image and the label in a record.
    channels: 1 or 3.
    size: in pixels, 0 to keep the images' own.
  """
  image_key, label_key = keys
  images: list[np.ndarray] = []
  labels: list[int] = []
  # In one thread: Python's lock, not the decoding, is the limit here.
  for start in range(0, len(source), _READ_AT_ONCE):
    end = min(start + _READ_AT_ONCE, len(source))
    for record in source.__getitems__(list(range(start, end))):
      one = f'image {len(images)} of {what}'
      file = io.BytesIO(record[image_key])
      image = data_images.decode(file, one, channels, size)
      images.append(image)
      labels.append(record[label_key])
      data_images.check_one_size(
        f'image 0 of {what}', images[0].shape, one, image.shape
      )
  return Split(np.asarray(images), np.asarray(labels))
