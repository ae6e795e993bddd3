"""A picture of some training images, as the network will see them."""

import contextlib
import functools
import os
import pathlib
from collections.abc import Sequence

import jax
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from opp_darts_jax import files
from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import augment
from opp_darts_jax.data.augment import Augmentation
from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.data.notes import counted
from opp_darts_jax.data.stream import Streamed

_CLASSES = 10  # at most, the first ones
_COLUMNS = 8  # images of a class, at most
_SAMPLE = 256  # images read to find classes, where only images tell
_LEAST = 64  # pixels that an image is shown at
_GAP = 4  # pixels between images
_LINE = 18  # pixels, of a class name
_FONT_SIZE = 13
# Of Linux, macOS and Windows, with the letters of many languages.
_FONTS = ('DejaVuSans.ttf', 'NotoSans-Regular.ttf', 'Arial Unicode.ttf',
          'arial.ttf')  # fmt: skip

_augment = jax.jit(augment.augment, static_argnames='augmentation')

# Rows of the training images, by label.
_Picked = dict[int, Sequence[int]]


def write_contact_sheet(
  images: ImageData | Streamed,
  config: DataConfig,
  path: str | os.PathLike[str],
  seed: int = 0,
) -> None:
  """Writes a PNG of training images: resized, cropped and augmented.

  Each of the first ten classes has a row of up to eight images under its name;
  small images are enlarged, without smoothing. A blanked square (`cutout`) has
  the mean colour. Of more than three channels the first three are shown.

  Args:
    images: the data set.
    config: says how a training augments them.
    path: of the file; its folder is made if there is none.
    seed: decides which images are shown, and how they are augmented.

  Raises:
    DataError: if an image cannot be read.
  """
  rng = np.random.default_rng(seed)
  picked = _pick(images, rng)
  rows = [row for some in picked.values() for row in some]
  stored = _pixels(images, rows, rng)
  shown = iter(_augmented(images, config, stored, jax.random.key(seed)))
  parts: list[Image.Image] = []
  for label, some in picked.items():
    parts.append(_text(images.class_names[label], images.image_shape[1]))
    parts.append(_row([next(shown) for _ in some]))
  more = images.num_classes - len(picked)
  if more > 0:
    text = f'and {counted(more, "class", "classes")} more'
    parts.append(_text(text, images.image_shape[1]))
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  with files.replacing(path) as temporary:
    _below(parts).save(temporary, 'PNG')


def _pick(images: ImageData | Streamed, rng: np.random.Generator) -> _Picked:
  """Some rows of each class to be shown, in random order."""
  if isinstance(images, ImageData):
    rows, labels = np.arange(images.num_train), images.train.labels
  else:
    stored, rows = images.train.images, images.train.rows
    labels = stored.labels[rows]
    if not labels.any():
      rows = rng.permutation(rows)[:_SAMPLE]
      labels = np.array([stored[int(row)].label for row in rows])
  order = rng.permutation(len(rows))
  rows, labels = rows[order], labels[order]
  classes = np.unique(labels)[:_CLASSES]
  return {int(k): rows[labels == k][:_COLUMNS] for k in classes}


def _pixels(
  images: ImageData | Streamed, rows: Sequence[int], rng: np.random.Generator
) -> np.ndarray:
  """The training images of these rows as a step gets them: uint8."""
  if isinstance(images, ImageData):
    return images.train.images[rows]
  return np.stack([images.train.cut_at_random(row, rng)[0] for row in rows])


def _augmented(
  images: ImageData | Streamed,
  config: DataConfig,
  stored: np.ndarray,
  key: jax.Array,
) -> np.ndarray:
  """Images uint8 (n, H, W, C) as a step augments them, back in 0..255."""
  normalised = np.asarray(
    _augment(key, stored, augmentation=Augmentation.of(images, config))
  )
  pixels = (normalised * np.array(images.std) + np.array(images.mean)) * 255
  return np.round(pixels.clip(0, 255)).astype(np.uint8)


def _row(pixels: Sequence[np.ndarray]) -> Image.Image:
  """Images (H, W, C) side by side."""
  height, width, channels = pixels[0].shape
  shown = 3 if channels >= 3 else 1
  scale = -(-_LEAST // width) if width < _LEAST else 1
  side = (width * scale, height * scale)
  row = Image.new('RGB', (len(pixels) * (side[0] + _GAP), side[1]), 'white')
  for i, image in enumerate(pixels):
    picture = Image.fromarray(image[..., :shown].squeeze())
    place = (i * (side[0] + _GAP), 0)
    row.paste(picture.resize(side, Image.Resampling.NEAREST), place)
  return row


def _text(text: str, image_width: int) -> Image.Image:
  """One line of text, cut where a row of images ends."""
  font = _font()
  line = ' '.join(text.split())
  width = _COLUMNS * (max(image_width, _LEAST) + _GAP)
  picture = Image.new('RGB', (width, _LINE), 'white')
  ImageDraw.Draw(picture).text((0, 0), line, fill='black', font=font)
  return picture


@functools.cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
  """The first of usual fonts that this system has, else Pillow's own.

  That one has the letters of Western languages alone.
  """
  for name in _FONTS:
    with contextlib.suppress(OSError):
      return ImageFont.truetype(name, _FONT_SIZE)
  return ImageFont.load_default(_FONT_SIZE)


def _below(parts: Sequence[Image.Image]) -> Image.Image:
  """Pictures below one another, with a margin."""
  width = max(part.width for part in parts) + 2 * _GAP
  height = sum(part.height + _GAP for part in parts) + 2 * _GAP
  sheet = Image.new('RGB', (width, height), 'white')
  top = _GAP
  for part in parts:
    sheet.paste(part, (_GAP, top))
    top += part.height + _GAP
  return sheet
