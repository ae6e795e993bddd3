"""Decoded pictures in one array, whatever order they come in."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from opp_darts_jax.data.decode import MADE_COLOUR, Picture
from opp_darts_jax.errors import DataError


class Gathered(NamedTuple):
  """Pictures of one size.

  Attributes:
    pixels: uint8 (n, H, W, C).
    pictures: each with its part of the pixels, in the order in which they came.
  """

  pixels: np.ndarray
  pictures: list[Picture]


def gather(
  pictures: Iterable[tuple[str, Picture]],
  count: int,
  places: Iterable[int] | None = None,
  channels: int = 0,
) -> Gathered:
  """The pictures, each with as many channels as the one that has most.

  They are held once, in the array: of pictures by the hundred thousand there is
  no room for another copy.

  Args:
    pictures: each with what to call it in a message.
    count: how many there are.
    places: where in the array each of them goes; None is one after the other.
    channels: at least so many.

  Raises:
    DataError: naming the first two that differ in size, as soon as the second
      one is there; or if memory has no room for them.
  """
  pixels = np.empty((0, 0, 0, 0), np.uint8)
  came: list[tuple[int, int, Picture]] = []
  order = range(count) if places is None else places
  for place, (what, picture) in zip(order, pictures):
    shape = picture.pixels.shape
    if not came:
      first = what
      pixels = _empty(count, (*shape[:2], max(shape[-1], channels)))
    _check_one_size(first, pixels.shape[1:], what, shape)
    if shape[-1] > pixels.shape[-1]:
      grey, pixels = pixels, _empty(count, shape)
      pixels[...] = grey
    pixels[place] = picture.pixels
    # Without pixels of its own.
    came.append((place, shape[-1], picture._replace(pixels=pixels[:0])))
  return Gathered(
    pixels,
    [
      Picture(
        pixels[place],
        picture.stored,
        (*picture.changes, MADE_COLOUR)
        if own < pixels.shape[-1]
        else picture.changes,
      )
      for place, own, picture in came
    ],
  )


def _empty(count: int, shape: tuple[int, ...]) -> np.ndarray:
  try:
    return np.empty((count, *shape), np.uint8)
  except MemoryError as error:
    size = count * np.prod(shape, dtype=float) / 2**30
    raise DataError(
      f'Expected memory for {count:,} images of '
      f'{"x".join(map(str, shape))}, {size:,.1f} GiB, which there is not; take '
      'a part of them, --config.data.max_train=N, or a smaller '
      '--config.data.image_size.'
    ) from error


def _check_one_size(
  one: str, shape: tuple[int, ...], other: str, other_shape: tuple[int, ...]
) -> None:
  """Raises `DataError` unless two images have the same height and width."""
  if shape[:2] != other_shape[:2]:
    raise DataError(
      f'Expected images of one size, got {one} of {shape[0]}x{shape[1]} and '
      f'{other} of {other_shape[0]}x{other_shape[1]} pixels (height x width); '
      'set --config.data.image_size=N to resize them.'
    )
