"""Encoded images: decoding, cutting, resizing and what to say if that fails."""

import contextlib
import dataclasses
import functools
import io
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image

from opp_darts_jax.data import viewing
from opp_darts_jax.errors import DataError, first_line

CENTRE = 0.875  # of the shorter side is seen when testing, as on ImageNet
LEAST_AREA = 0.08  # of the image is left by a random crop
WIDEST_ASPECT = 4 / 3  # of a random crop, width to height; its inverse is least

MADE_COLOUR = 'in grey made colour'

# Top, left, height and width in pixels and parts of them; arrays when traced.
Box = tuple[Any, Any, Any, Any]
Example = tuple[np.ndarray, np.int32]


class Encoded(NamedTuple):
  """One image, as it is stored.

  Attributes:
    file: its path, or its bytes.
    what: to call it in a message.
    label: of its class.
  """

  file: pathlib.Path | bytes
  what: str
  label: int


class Encodings(Protocol):
  """A split of images as they are stored, read one by one.

  It may have a method `marks()` that gives bytes, which change if the images
  do, without reading one: they go into the fingerprint of a stream. Without it
  the labels do alone.
  """

  @property
  def labels(self) -> np.ndarray:
    """Labels (n,); all 0 where only reading every image would tell."""

  def __len__(self) -> int: ...

  def __getitem__(self, row: int) -> Encoded: ...


class Picture(NamedTuple):
  """One image, decoded.

  Attributes:
    pixels: uint8 (H, W, C).
    stored: height and width as seen, before it was resized.
    changes: what was done to it, each as in '3 images {change}'.
  """

  pixels: np.ndarray
  stored: tuple[int, int]
  changes: tuple[str, ...]


def decode(
  image: Encoded,
  size: int,
  background: str,
  channels: int = 0,
  box: Callable[[int, int], Box] | None = None,
) -> Picture:
  """Returns one image as a viewer shows it.

  Args:
    image: as it is stored.
    size: of the result in pixels, 0 to keep the image's own.
    background: the colour that shows through where it is transparent.
    channels: of the result: 1 for grey, 3 for red, green and blue, 0 for what
      the image has.
    box: gives the part to keep, of an image of this height and width; without
      it an image that is not square is squeezed into one.

  Raises:
    DataError: if the image cannot be decoded, or has more than 8 bits of grey.
  """
  with opened(image) as file:
    viewing.check_mode(image.what, file)
    seen, changes = viewing.view(file, background)
    if channels == 1 and seen.mode != 'L':
      seen = seen.convert('L')
    width, height = seen.size
    pixels = np.asarray(
      _cut(seen, size, box(height, width)) if box else _shrink(seen, size)
    )
  pixels = pixels.reshape(*pixels.shape[:2], -1)
  return _widened(Picture(pixels, (height, width), changes), channels)


@dataclasses.dataclass(frozen=True, eq=False)
class Selection:
  """Some images of a split; what a worker process is given.

  Attributes:
    images: of the split.
    rows: int (n,), those of the part.
    channels: 1 or 3; 0 for what each image has.
    size: of decoded images, in pixels.
    resized_crop: whether images are cut instead of squeezed into a square.
    background: the colour that shows through where they are transparent.
  """

  images: Encodings = dataclasses.field(repr=False)
  rows: np.ndarray = dataclasses.field(repr=False)
  channels: int
  size: int
  resized_crop: bool
  background: str

  def __len__(self) -> int:
    return len(self.rows)

  def cut_at_random(self, row: int, rng: np.random.Generator) -> Example:
    """A training image, uint8 (H, W, C), and its label."""
    image = self.images[row]
    picture = self._decoded(image, functools.partial(random_box, rng.random(4)))
    return picture.pixels, np.int32(image.label)

  def cut_centre(self, row: int) -> Example:
    """A test image, uint8 (H, W, C), and its label."""
    image = self.images[row]
    return self._decoded(image, centre_box).pixels, np.int32(image.label)

  def centre(self, row: int) -> Picture:
    """A test image, and what was done to it."""
    return self._decoded(self.images[row], centre_box)

  def _decoded(self, image: Encoded, box: Callable[..., Box]) -> Picture:
    return decode(
      image, self.size, self.background, self.channels,
      box if self.resized_crop else None,
    )  # fmt: skip


@contextlib.contextmanager
def opened(image: Encoded) -> Iterator[Image.Image]:
  """Opens an image; what PIL raises on a damaged one becomes a `DataError`."""
  stored = image.file
  try:
    with Image.open(
      io.BytesIO(stored) if isinstance(stored, bytes) else stored
    ) as file:
      yield file
  except DataError:  # A sentence already, and a kind of ValueError.
    raise
  except Exception as error:  # Damage raises whatever a parser stumbles on.
    raise DataError(
      f'Expected an image that can be read, got {image.what}: '
      f'{first_line(error)}.'
    ) from error


def random_box(uniform: Any, height: int, width: int) -> Box:
  """Returns a random part of an image, as usual on ImageNet but for one thing.

  Its area is uniform in [0.08, 1] of the image's, the logarithm of its aspect
  ratio uniform between those of 3/4 and 4/3. A part that is higher or wider
  than the image is clipped; others draw again.

  Args:
    uniform: four numbers in [0, 1), of numpy or jax.
    height: of the image, in pixels.
    width: of the image, in pixels.
  """
  area = height * width * (LEAST_AREA + (1 - LEAST_AREA) * uniform[0])
  aspect = WIDEST_ASPECT ** (2 * uniform[1] - 1)
  own_height = ((area / aspect) ** 0.5).clip(max=height)
  own_width = ((area * aspect) ** 0.5).clip(max=width)
  top = uniform[2] * (height - own_height)
  left = uniform[3] * (width - own_width)
  return top, left, own_height, own_width


def centre_box(height: int, width: int) -> Box:
  """Returns the square that is left when an image is tested.

  It is that of a resize of the shorter side to size / 0.875 and a central crop
  of size, in one.
  """
  side = CENTRE * min(height, width)
  return (height - side) / 2, (width - side) / 2, side, side


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


def _cut(image: Image.Image, size: int, box: Box) -> Image.Image:
  """Returns a part of the image at (size, size)."""
  top, left, height, width = box
  # The sums may be off by a rounding, which PIL refuses.
  corners = (
    left, top, min(left + width, image.width), min(top + height, image.height),
  )  # fmt: skip
  return image.resize((size, size), Image.Resampling.BILINEAR, corners)


def _widened(picture: Picture, channels: int) -> Picture:
  """The picture in colour, where that is asked of a grey one."""
  pixels, stored, changes = picture
  if pixels.shape[-1] >= channels:
    return picture
  repeated = np.broadcast_to(pixels, (*pixels.shape[:2], channels))
  return Picture(repeated, stored, (*changes, MADE_COLOUR))
