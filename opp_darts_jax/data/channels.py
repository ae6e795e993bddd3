"""What normalises a pixel: mean and standard deviation of each channel."""

from collections.abc import Iterable

import numpy as np

from opp_darts_jax.errors import DataError


def mean_and_std(
  images: np.ndarray,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Returns mean and deviation per channel of uint8 images, in pixel / 255.

  They come from a histogram, exact and without a float copy of the images. A
  channel of one constant value gets the deviation of one grey level, not 0.
  """
  channels = images.shape[-1]
  histogram = np.zeros((channels, 256))
  for part in np.array_split(images, 1 + len(images) // 1024):
    for c in range(channels):
      histogram[c] += np.bincount(part[..., c].ravel(), minlength=256)
  weight = histogram / histogram.sum(1, keepdims=True)
  level = np.arange(256) / 255
  mean = weight @ level
  variance = (weight * (level - mean[:, None]) ** 2).sum(1)
  std = np.where(variance > 0, np.sqrt(variance), 1 / 255)
  return tuple(mean.tolist()), tuple(std.tolist())


def per_channel(
  field: str, given: Iterable[float], computed: tuple[float, ...]
) -> tuple[float, ...]:
  """Returns the numbers given, if any and if they suit, or those computed."""
  numbers = tuple(float(number) for number in given)
  if not numbers:
    return computed
  if len(numbers) != len(computed):
    raise DataError(
      f'Expected {field} to be empty or one number for each of the '
      f'{len(computed)} channels, got {numbers}.'
    )
  return numbers
