"""Splits: images with their labels, and their division by class."""

from typing import NamedTuple

import numpy as np

from opp_darts_jax.config import DataConfig
from opp_darts_jax.errors import UserError


class Split(NamedTuple):
  """Images uint8 (n, H, W, C) and their labels int32 (n,)."""

  images: np.ndarray
  labels: np.ndarray

  def __repr__(self) -> str:
    return f'Split(images {self.images.shape}, labels {self.labels.shape})'

  def take(self, indices: np.ndarray) -> 'Split':
    """The images and labels at these indices."""
    return Split(self.images[indices], self.labels[indices])


def divide(
  train: Split, test: Split | None, config: DataConfig
) -> tuple[Split, Split]:
  """The images to train on and to test on.

  Args:
    train: of the source.
    test: of the source; None takes `config.test_fraction` of the others.
    config: how many of each; with `held_out`, the second are training images.

  Raises:
    UserError: naming the field of the config, if one of them would be none.
  """
  if test is None:
    train, test = _apart(train, 'test_fraction', config)
  if config.held_out:
    train, test = _apart(train, 'held_out', config)
  train = subset(train, 'max_train', config.max_train, config.split_seed)
  test = subset(test, 'max_test', config.max_test, config.split_seed)
  return train, test


def _apart(split: Split, field: str, config: DataConfig) -> tuple[Split, Split]:
  share = getattr(config, field)
  try:
    kept, held = halves(split.labels, 1 - share, config.split_seed)
  except UserError as error:
    raise UserError(
      f'data.{field} must leave images to train on and images to test on; got '
      f'{share:g} of {len(split.labels)} images.'
    ) from error
  return split.take(kept), split.take(held)


def halves(
  labels: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """Splits images in two at random, each class by the same fraction.

  Args:
    labels: (n,).
    fraction: of the images that go to the first part, rounded to whole images;
      a class is off its share by less than one image.
    seed: the same seed gives the same parts in the same order.

  Returns:
    Indices int32 of the first part (D_train) and of the rest (D_val), shuffled.

  Raises:
    UserError: if a part would be empty.
  """
  count = round(len(labels) * fraction)
  if not 0 < count < len(labels):
    raise UserError(
      'Expected a fraction between 0 and 1 that leaves images on both sides of '
      f'a split, got {fraction:g} of {len(labels)} images.'
    )
  rng = np.random.default_rng(seed)
  order = _stratified_order(labels, rng)
  return rng.permutation(order[:count]), rng.permutation(order[count:])


def subset(split: Split, field: str, count: int, seed: int) -> Split:
  """Returns a stratified part of `count` images, or all if count is 0.

  Raises:
    UserError: naming the `field` of the count, if a class would go missing.
  """
  if not count or count >= len(split.labels):
    return split
  order = _stratified_order(split.labels, np.random.default_rng(seed))
  # Where each class comes first.
  _, firsts = np.unique(split.labels[order], return_index=True)
  least = firsts.max() + 1
  if count < least:
    raise UserError(
      f'Expected {field} to be 0 (all images) or at least {least}, of which '
      f'each of the {len(firsts)} classes has one; got {count}.'
    )
  return split.take(np.sort(order[:count]))


def count_batches(size: int, images: int, what: str) -> int:
  """How many whole batches these images make.

  Raises:
    UserError: naming the images by `what`, if they do not make one.
  """
  if images < size:
    raise UserError(
      f'batch_size must be at most {images}, the number of {what}; got {size}.'
    )
  return images // size


def _stratified_order(
  labels: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
  """Returns a random order int32 (n,) of which every beginning is stratified.

  The i-th image of a class of n comes at (i + 1/2) / n of the way, which gives
  each class its share of any beginning, rounded to the nearest image.
  """
  shuffled = rng.permutation(len(labels)).astype(np.int32)
  _, counts = np.unique(labels, return_counts=True)
  place = np.empty(len(labels))
  place[np.argsort(labels[shuffled], kind='stable')] = np.concatenate(
    [(np.arange(count) + 0.5) / count for count in counts]
  )
  return shuffled[np.argsort(place, kind='stable')]
