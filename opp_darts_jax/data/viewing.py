"""Images as a viewer shows them: upright, the first frame, on a background."""

import contextlib
from typing import NamedTuple

from PIL import ExifTags, Image, ImageColor, ImageOps

from opp_darts_jax.errors import DataError

TURNED = 'turned upright (EXIF orientation)'
FIRST_FRAME = 'of several frames, of which the first is read'
LAID = 'with transparency laid on {}'
INKS = 'of inks (CMYK) made red, green and blue'
CUT = 'of 16 bits per colour, of which the upper 8 are read'

# Other formats that have frames use them for layers, sizes or previews.
_ANIMATED = ('AVIF', 'GIF', 'PNG', 'TIFF', 'WEBP')


class View(NamedTuple):
  """An image as it is seen.

  Attributes:
    image: of mode 'L' if it is grey, else 'RGB'.
    changes: what was done to it, each as in '3 images {change}'.
  """

  image: Image.Image
  changes: tuple[str, ...]


def view(file: Image.Image, background: str) -> View:
  """What is seen of an image that was just opened.

  Args:
    file: of 8 bits of grey or of any of colours; is loaded and turned in place.
    background: the colour that shows through where it is transparent.

  Raises:
    Exception: as PIL does, if the image is damaged.
  """
  changes = []
  if any(';16' in mode for mode in _stored_modes(file)):
    changes.append(CUT)
  if file.mode == 'CMYK':
    changes.append(INKS)
  if file.format in _ANIMATED and getattr(file, 'is_animated', False):
    changes.append(FIRST_FRAME)
  if _turn(file):
    changes.append(TURNED)
  image, grey = file, file.mode in ('1', 'L', 'LA', 'La')
  if file.has_transparency_data:
    image = _with_alpha(file)
    if image.getchannel('A').getextrema() != (255, 255):
      colour = ImageColor.getrgb(background)
      canvas = Image.new('RGBA', image.size, colour)
      canvas.alpha_composite(image)
      image, grey = canvas, grey and len(set(colour)) == 1
      changes.append(LAID.format(background))
  mode = 'L' if grey else 'RGB'
  return View(image if image.mode == mode else image.convert(mode), (*changes,))


def _turn(file: Image.Image) -> bool:
  """Turns an image upright in place, and says whether it had to."""
  if file.format != 'TIFF':  # which PIL turns as it loads it
    file.load()
  orientation = None
  with contextlib.suppress(Exception):  # Odd EXIF raises whatever you like.
    orientation = file.getexif().get(ExifTags.Base.Orientation)
  file.load()
  if orientation not in range(2, 9):
    return False
  # The pixels are turned by the time that PIL writes odd tags again, and fails.
  with contextlib.suppress(Exception):
    ImageOps.exif_transpose(file, in_place=True)
  return True


def _with_alpha(file: Image.Image) -> Image.Image:
  """The image in mode RGBA."""
  if file.mode == 'La':  # PIL goes from premultiplied grey to its like alone.
    file = file.convert('LA')
  return file if file.mode == 'RGBA' else file.convert('RGBA')


def check_mode(what: str, file: Image.Image) -> None:
  """Raises `DataError` on more than 8 bits of grey, which would be clipped.

  Args:
    what: to call the image in a message.
    file: it, just opened and not loaded yet.
  """
  # PIL cuts a PNG of grey with alpha to 8 bits as it loads it.
  deep = 'LA;16B'
  mode = deep if deep in _stored_modes(file) else file.mode
  if mode.startswith(('I', 'F', deep)):
    raise DataError(
      f'Expected images of 8 bits per channel, got {what} in mode {mode}.'
    )


def _stored_modes(file: Image.Image) -> set[str]:
  """In which PIL unpacks an image that was just opened, such as 'RGB;16B'."""
  tiles = (given for *_, given in getattr(file, 'tile', ()))
  words = (given if isinstance(given, tuple) else (given,) for given in tiles)
  return {word for given in words for word in given if isinstance(word, str)}
