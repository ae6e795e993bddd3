"""Arrays in memory as a source: images and labels as numpy takes them."""

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from opp_darts_jax.data.source import Source
from opp_darts_jax.data.split import Split
from opp_darts_jax.errors import DataError, first_line

# Images and labels to train on, then those to test on.
CALLED = ('images', 'labels', 'test images', 'test labels')


def source_of(
  images: Any,
  labels: Any,
  test: tuple[Any, Any] | None = None,
  class_names: Sequence[str] = (),
  name: str = 'arrays',
  called: tuple[str, str, str, str] = CALLED,
  where: str = '',
) -> Source:
  """The source that holds these arrays.

  Args:
    images: (n, H, W) or (n, H, W, C), integers 0..255 or floats 0..1, in
      whatever numpy makes an array of; they are copied.
    labels: likewise (n,) or (n, 1), integers, floats that are whole, or text;
      text is compared in Unicode NFC, and bytes are UTF-8.
    test: images and labels to test on, likewise; of the classes in `labels`.
    class_names: label k is class_names[k], of integers; without them the values
      that occur in `labels` are the classes, in order.
    name: of the data set, for messages and reports.
    called: what the four arrays are called in a message.
    where: they are, ' in ...', to end that.

  Raises:
    DataError: if an array is not as said.
  """
  train_labels = _labels(called[1], labels)
  named = len(class_names) > 0  # An array of names has no truth value.
  if named:
    values = np.arange(len(class_names))
    rule = f'be in 0..{len(class_names) - 1}, one for each of the class_names'
  else:
    values = np.unique(train_labels)
    rule = f'occur in {called[1]}'

  def split(images: Any, labels: np.ndarray, keys: tuple[str, str]) -> Split:
    # Text is never equal to a number, whatever numpy makes of the two.
    mixed = (labels.dtype.kind == 'U') != (values.dtype.kind == 'U')
    strange = labels if mixed else np.setdiff1d(labels, values)
    if len(strange):
      raise DataError(
        f'Expected every label of {keys[1]}{where} to {rule}, got '
        f'{strange[0].item()!r}.'
      )
    pixels = as_images(keys[0], images)
    _check_bands(keys[0], pixels.shape)
    return Split(pixels, np.searchsorted(values, labels))

  train = split(images, train_labels, called[:2])
  own = None
  if test is not None:
    own_images, own_labels = _pair(test)
    own = split(own_images, _labels(called[3], own_labels), called[2:])
  names = tuple(str(each) for each in (class_names if named else values))
  return Source(name, train, own, names)


def as_array(what: str, given: Any) -> np.ndarray:
  """What numpy makes of it.

  Raises:
    DataError: if numpy makes nothing of it, as of rows of different lengths.
  """
  try:
    return np.asarray(given)
  except (TypeError, ValueError, RuntimeError) as error:
    raise DataError(
      f'Expected {what} to be an array, got {type(given).__name__}: '
      f'{first_line(error)}.'
    ) from error


def _pair(test: Any) -> tuple[Any, Any]:
  if not isinstance(test, (tuple, list)) or len(test) != 2:
    raise DataError(
      f'Expected test to be a pair (images, labels), got {type(test).__name__}.'
    )
  return test[0], test[1]


def as_images(key: str, given: Any) -> np.ndarray:
  """uint8 (n, H, W, C) of integers 0..255 or floats 0..1; C may be left out.

  Raises:
    DataError: naming them by the key, if they are something else.
  """
  images = as_array(key, given)
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


def _check_bands(key: str, shape: tuple[int, ...]) -> None:
  if shape[-1] == 4:
    raise DataError(
      f'Expected {key} to have 1 or 3 channels, or other bands, got '
      f'{shape}, where a fourth channel is mostly alpha: give '
      'images[..., :3], or a data source of your own if it is a band.'
    )


def _labels(key: str, given: Any) -> np.ndarray:
  """Returns labels (n,), integers or text in Unicode NFC."""
  labels = as_array(key, given)
  if labels.ndim == 2 and labels.shape[1] == 1:
    labels = labels[:, 0]  # as Keras gives them
  if labels.dtype.kind == 'O':  # as pandas gives text
    labels = _plain(labels)
  if labels.dtype.kind == 'f' and not _odd(labels):
    labels = labels.astype(np.int64)
  if labels.ndim != 1 or labels.dtype.kind not in 'iubUST':
    raise DataError(
      f'Expected {key} to be (n,) integers or text, got {labels.shape} '
      f'{labels.dtype}{_odd(labels)}.'
    )
  return labels if labels.dtype.kind in 'iub' else _text(key, labels)


def _odd(labels: np.ndarray) -> str:
  """Returns ', such as nan', of a label that is neither whole nor text."""
  for label in labels.ravel().tolist():
    whole = isinstance(label, float) and label.is_integer()
    if not whole and not isinstance(label, (int, str)):
      return f', such as {label!r}'
  return ''


def _plain(labels: np.ndarray) -> np.ndarray:
  """Objects as integers or text, if they are that alone."""
  kinds: tuple[Any, ...] = (str, bytes, (int, np.integer))
  for kind in kinds:
    if all(isinstance(label, kind) for label in labels.flat):
      return np.array(labels.tolist())
  return labels


def _text(key: str, labels: np.ndarray) -> np.ndarray:
  """Text of any kind in Unicode NFC; a word may be stored in several forms."""
  words, index = np.unique(labels, return_inverse=True)
  try:
    texts = [
      word.decode() if isinstance(word, bytes) else str(word)
      for word in words.tolist()
    ]
  except UnicodeDecodeError as error:
    raise DataError(
      f'Expected {key} that are bytes to be UTF-8, got {error.object!r}.'
    ) from error
  return np.array([unicodedata.normalize('NFC', text) for text in texts])[index]
