"""Short clauses on what was left out or changed on the way in."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from opp_darts_jax.data.decode import Picture

_NAMED = 5  # names that a clause lists at most


def counted(count: int, noun: str, plural: str = '') -> str:
  """Returns '1 image', '1,200 images'."""
  return f'{count:,} {noun if count == 1 else plural or noun + "s"}'


def listed(names: Sequence[str]) -> str:
  """Returns 'a, b', or 'a, b, c, d, e and 7 more'."""
  more = len(names) - _NAMED
  return ', '.join(names[:_NAMED]) + (f' and {more:,} more' if more > 0 else '')


def on_unused(names: Sequence[str]) -> tuple[str, ...]:
  """Says which parts of a data set are neither to train nor to test on."""
  if not names:
    return ()
  return (f'not used beside train and test: {listed(names)}',)


def on_skipped(suffixes: Counter[str]) -> tuple[str, ...]:
  """Says how many files are no images, by suffix: '3 files skipped: .txt 3'."""
  if not suffixes:
    return ()
  ordered = sorted(suffixes.items(), key=lambda each: (-each[1], each[0]))
  kinds = [f'{kind or "without suffix"} {count:,}' for kind, count in ordered]
  return (f'{counted(suffixes.total(), "file")} skipped: {listed(kinds)}',)


def tested_on(share: float) -> str:
  """What test images are called, of which a share may be training images."""
  return 'training images held out' if share else 'test images'


def on_held_out(share: float, count: int) -> tuple[str, ...]:
  """Says so if training images stand in for the test images."""
  if not share:
    return ()
  return (
    f'tested on {counted(count, "training image")} held out (data.held_out), '
    'not on the test images',
  )


def on_pictures(pictures: Iterable[Picture]) -> tuple[str, ...]:
  """Says what was done to images: turned, laid on white, resized."""
  changes: Counter[str] = Counter()
  sizes: Counter[tuple[int, ...]] = Counter()
  target: tuple[int, ...] = ()
  for picture in pictures:
    changes.update(picture.changes)
    shape = picture.pixels.shape[:2]
    if picture.stored != shape:
      sizes[picture.stored] += 1
      target = shape
  return (
    *(
      f'{counted(count, "image")} {change}'
      for change, count in sorted(changes.items())
    ),
    *on_resized(sizes, target),
  )


def on_resized(
  sizes: Counter[tuple[int, ...]], target: Sequence[int]
) -> tuple[str, ...]:
  """Says how many images of which (height, width) were resized."""
  if not sizes:
    return ()
  stored = f'{len(sizes):,} sizes' if len(sizes) > 1 else _size(*sizes)
  return (
    f'{counted(sizes.total(), "image")} resized from {stored} to '
    f'{_size(target)}',
  )


def on_classes(
  names: Sequence[str], labels: np.ndarray, what: str
) -> tuple[str, ...]:
  """Says which classes have no 'training' or 'test' images."""
  counts = np.bincount(labels, minlength=len(names))
  missing = [name for name, count in zip(names, counts) if not count]
  if not missing:
    return ()
  classes = counted(len(missing), 'class', 'classes')
  return (f'{classes} without {what} images: {listed(missing)}',)


def _size(shape: Sequence[int]) -> str:
  return 'x'.join(map(str, shape[:2]))
