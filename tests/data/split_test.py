"""Tests of the division of images by class."""

import numpy as np
import pytest

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import split
from opp_darts_jax.errors import UserError


@pytest.mark.parametrize('fraction', [0.5, 0.2, 0.9])
def test_halves_are_disjoint_complete_and_exactly_stratified(fraction):
  labels = np.repeat([0, 1, 2], [100, 50, 10])[::-1]
  train, val = split.halves(labels, fraction, seed=3)
  assert train.dtype == val.dtype == np.int32
  np.testing.assert_array_equal(
    np.sort(np.concatenate([train, val])), np.arange(160)
  )
  np.testing.assert_array_equal(
    np.bincount(labels[train]), np.round(fraction * np.array([100, 50, 10]))
  )


def test_halves_of_odd_classes_are_off_by_less_than_one_image():
  labels = np.random.default_rng(0).integers(0, 7, 1001)
  train, val = split.halves(labels, 1 / 3, seed=0)
  assert len(train) == round(1001 / 3)
  share = np.bincount(labels) / 3
  assert np.abs(np.bincount(labels[train]) - share).max() < 1


def test_halves_depend_on_the_seed_alone_and_are_shuffled():
  labels = np.repeat(np.arange(4), 25)
  one, again = split.halves(labels, 0.5, 1), split.halves(labels, 0.5, 1)
  np.testing.assert_array_equal(one[0], again[0])
  np.testing.assert_array_equal(one[1], again[1])
  assert not np.array_equal(one[0], split.halves(labels, 0.5, 2)[0])
  for part in one:
    assert not np.array_equal(part, np.sort(part))
    # Not class after class in turn, either.
    assert len(set(map(tuple, labels[part][:48].reshape(12, 4)))) > 6


@pytest.mark.parametrize('field', ['test_fraction', 'held_out'])
def test_a_share_that_leaves_nothing_is_named(field):
  images = split.Split(np.zeros((20, 4, 4, 1), np.uint8), np.arange(20) % 2)
  with pytest.raises(UserError, match=f'data.{field} must .* 0.01 of 20 im'):
    split.divide(
      images,
      None if field == 'test_fraction' else images,
      DataConfig(**{field: 0.01}),
    )


@pytest.mark.parametrize('fraction', [0.0, 1.0, -0.5, 1.5, 0.01])
def test_halves_refuses_an_empty_part(fraction):
  with pytest.raises(UserError, match=r'between 0 and 1 .* of 10 images'):
    split.halves(np.arange(10) % 2, fraction, 0)


def test_a_part_has_every_class_however_small():
  labels = np.repeat([0, 1, 2], [90, 9, 1])
  images = split.Split(np.zeros((100, 1, 1, 1), np.uint8), labels)
  # The one image of the last class is half of the way through.
  kept = split.subset(images, 'max_train', 51, 0)
  np.testing.assert_array_equal(np.bincount(kept.labels), [45, 5, 1])
  with pytest.raises(UserError, match='max_train .* least 51, .* got 50'):
    split.subset(images, 'max_train', 50, 0)
