"""Encoded images: decoding, resizing and what to say of those that fail."""

import contextlib
import io
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from opp_darts_jax.errors import UserError


def decode(
  file: io.BytesIO | pathlib.Path, what: str, channels: int, size: int
) -> np.ndarray:
  """Returns one encoded image as uint8 (H, W, channels).

  Args:
    file: the encoded image.
    what: to call it in a message.
    channels: 1 for grey, 3 for red, green and blue.
    size: in pixels, 0 to keep the image's own.

  Raises:
    UserError: if the image cannot be decoded.
  """
  mode = 'L' if channels == 1 else 'RGB'
  with opened(file, what) as image:
    converted = image if image.mode == mode else image.convert(mode)
    pixels = np.asarray(_shrink(converted, size))
  return pixels.reshape(*pixels.shape[:2], channels)


@contextlib.contextmanager
def opened(file: io.BytesIO | pathlib.Path, what: str) -> Iterator[Image.Image]:
  """Opens an image; what PIL raises on a damaged one becomes a `UserError`."""
  damaged = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
  try:
    with Image.open(file) as image:
      yield image
  except damaged as error:
    raise UserError(
      f'Expected an image that can be read, got {what}: {first_line(error)}.'
    ) from error


def resize(images: np.ndarray, size: int) -> np.ndarray:
  """Returns uint8 (n, size, size, C), antialiased; as it came if size is 0."""
  if not size or images.shape[1:3] == (size, size):
    return images
  # Plane by plane, as PIL knows images of one or three channels only.
  resized = [
    [np.asarray(_shrink(Image.fromarray(plane), size)) for plane in image]
    for image in np.moveaxis(images, -1, 1)
  ]
  return np.moveaxis(np.asarray(resized), 1, -1)


def _shrink(image: Image.Image, size: int) -> Image.Image:
  """Returns the image at (size, size); PIL's filter widens as it shrinks."""
  if not size or image.size == (size, size):
    return image
  return image.resize((size, size), Image.Resampling.BILINEAR)


def check_one_size(
  one: str, shape: tuple[int, ...], other: str, other_shape: tuple[int, ...]
) -> None:
  """Raises `UserError` unless two images have the same height and width."""
  if shape[:2] != other_shape[:2]:
    raise UserError(
      f'Expected images of one size, got {one} of {shape[0]}x{shape[1]} and '
      f'{other} of {other_shape[0]}x{other_shape[1]} pixels (height x width); '
      'set --config.data.image_size=N to resize them.'
    )


def first_line(error: BaseException) -> str:
  """What an error says, to be put into a sentence."""
  lines = str(error).strip().splitlines() or [type(error).__name__]
  return lines[0].rstrip('.:')
