"""Small data sets, as files and as arrays."""

import numpy as np
from PIL import ExifTags, Image

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import dataset


def save(path, pixels):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def exif_of(orientation):
  exif = Image.Exif()
  exif[ExifTags.Base.Orientation] = orientation
  return exif


def turned(pixels, orientation):
  """How a camera stores pixels (H, W, ...) that this EXIF orientation shows."""
  return {
    1: lambda p: p,
    2: np.fliplr,
    3: lambda p: np.rot90(p, 2),
    4: np.flipud,
    5: lambda p: p.swapaxes(0, 1),
    6: np.rot90,
    7: lambda p: np.rot90(p, 2).swapaxes(0, 1),
    8: lambda p: np.rot90(p, -1),
  }[orientation](pixels)


def colour(level, size=(4, 4)):
  return np.full((*size, 3), level, np.uint8)


def load(source, **fields):
  return dataset.load(DataConfig(source=str(source), **fields))


def assert_same(one, other):
  np.testing.assert_array_equal(one.images, other.images)
  np.testing.assert_array_equal(one.labels, other.labels)


def pictures(count, seed, shape=(4, 4, 3)):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (count, *shape), np.uint8), np.arange(count) % 2


def by_content(split):
  return sorted((image.tobytes(), int(label)) for image, label in zip(*split))
