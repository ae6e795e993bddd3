"""Data sets of arrays in an .npz file."""

import pathlib
import zipfile

import numpy as np

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data.decode import first_line
from opp_darts_jax.data.split import Source, Split
from opp_darts_jax.errors import DataError

KEYS = (
  ('images', 'labels', 'test_images', 'test_labels'),
  ('x_train', 'y_train', 'x_test', 'y_test'),
)


def read(path: str, config: DataConfig) -> Source:
  """Reads arrays named as in `KEYS`, of which those to test on may be missing.

  Raises:
    DataError: if the file or its arrays are not as expected.
  """
  del config  # nothing to choose
  file = pathlib.Path(path).expanduser()
  arrays = _arrays(file)
  keys = next((k for k in KEYS if {k[0], k[1]} <= arrays.keys()), None)
  if keys is None:
    raise DataError(
      f'Expected arrays images and labels, or x_train and y_train, in '
      f'{str(file)!r}, got {", ".join(arrays) or "none"}.'
    )
  given = [key for key in keys[2:] if key in arrays]
  if len(given) == 1:
    raise DataError(
      f'Expected both {keys[2]} and {keys[3]} in {str(file)!r} or neither, got '
      f'{given[0]} alone.'
    )
  values = np.unique(_labels(keys[1], arrays[keys[1]]))

  def split(images_key: str, labels_key: str) -> Split:
    labels = _labels(labels_key, arrays[labels_key])
    strange = np.setdiff1d(labels, values)
    if len(strange):
      raise DataError(
        f'Expected every label of {labels_key} in {str(file)!r} to occur in '
        f'{keys[1]}, got {strange[0]}.'
      )
    images = _images(images_key, arrays[images_key])
    return Split(images, np.searchsorted(values, labels))

  test = split(keys[2], keys[3]) if given else None
  names = tuple(str(value) for value in values)
  return Source(file.stem, split(keys[0], keys[1]), test, names)


def _arrays(file: pathlib.Path) -> dict[str, np.ndarray]:
  if not file.is_file():
    raise DataError(f'Expected an .npz file, got {str(file)!r}: no such file.')
  # TypeError: a plain .npy array is no mapping of arrays.
  damaged = (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile)
  try:
    with np.load(file, allow_pickle=False) as arrays:
      return dict(arrays)
  except damaged as error:
    raise DataError(
      f'Expected an .npz file of plain arrays, got {str(file)!r}: '
      f'{first_line(error)}.'
    ) from error


def _images(key: str, images: np.ndarray) -> np.ndarray:
  """Returns uint8 (n, H, W, C) from integers 0..255 or floats 0..1."""
  if images.ndim == 3:
    images = images[..., None]
  if images.ndim != 4:
    raise DataError(
      f'Expected {key} to be (n, H, W) or (n, H, W, C), got {images.shape}.'
    )
  top = {'u': 255, 'i': 255, 'f': 1}.get(images.dtype.kind)
  if top is None:
    raise DataError(
      f'Expected {key} to be integers 0..255 or floats 0..1, got '
      f'{images.dtype}.'
    )
  # Written so that NaN fails as well.
  if images.size and not (images.min() >= 0 and images.max() <= top):
    raise DataError(
      f'Expected {key} of type {images.dtype} to lie in 0..{top}, got '
      f'{images.min()}..{images.max()}.'
    )
  if top == 1:
    images = np.round(images * 255)
  return images.astype(np.uint8)


def _labels(key: str, labels: np.ndarray) -> np.ndarray:
  """Returns labels (n,), integers or text."""
  if labels.ndim == 2 and labels.shape[1] == 1:
    labels = labels[:, 0]  # as Keras gives them
  if labels.ndim != 1 or labels.dtype.kind not in 'iubUS':
    raise DataError(
      f'Expected {key} to be (n,) integers or text, got {labels.shape} '
      f'{labels.dtype}.'
    )
  return labels.astype(str) if labels.dtype.kind == 'S' else labels
