"""Tests of the augmentation and the batch order."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax import augment

PLAIN = augment.Augmentation(
  mean=(0.5,), std=(0.25,), crop_padding=0, flip=False
)


def some_images(count=6, size=8, channels=3):
  rng = np.random.default_rng(0)
  return rng.integers(1, 256, (count, size, size, channels), np.uint8)


def test_normalise_gives_the_exact_numbers():
  images = np.array([[[[0, 255]], [[51, 102]]]], np.uint8)
  result = augment.normalise(images, (0.5, 0.0), (0.5, 2.0))
  chex.assert_shape(result, (1, 2, 1, 2))
  assert result.dtype == jnp.float32
  np.testing.assert_allclose(
    result, [[[[-1.0, 0.5]], [[-0.6, 0.2]]]], rtol=1e-6
  )


def test_crops_are_windows_of_the_padded_image():
  images, padding = some_images(count=40), 2
  crops = augment.random_crop(jax.random.key(0), images, padding)
  assert crops.dtype == jnp.uint8
  corners = set()
  for image, crop in zip(images, np.asarray(crops)):
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
    found = [
      (y, x)
      for y in range(5)
      for x in range(5)
      if np.array_equal(padded[y : y + 8, x : x + 8], crop)
    ]
    assert len(found) == 1
    corners.update(found)
  # Both extremes of both axes are drawn, and images move independently.
  assert {y for y, _ in corners} == {x for _, x in corners} == set(range(5))
  assert len(corners) > 12


def test_flip_mirrors_about_half_of_the_images_and_nothing_else():
  images = some_images(count=400, size=4, channels=1)
  flipped = np.asarray(augment.random_flip(jax.random.key(1), images))
  same = (flipped == images).all((1, 2, 3))
  mirrored = (flipped == images[:, :, ::-1]).all((1, 2, 3))
  assert (same ^ mirrored).all()
  assert 160 < mirrored.sum() < 240  # 4 standard deviations


@pytest.mark.parametrize('side', [1, 4, 5])
def test_cutout_blanks_one_clipped_square_anywhere(side):
  count, size = 2000, 8
  images = jnp.ones((count, size, size, 2))
  result = np.asarray(augment.random_cutout(jax.random.key(2), images, side))
  blank = result[..., 0] == 0
  np.testing.assert_array_equal(result, 1.0 - blank[..., None] * np.ones(2))
  rows, columns = blank.any(2), blank.any(1)
  np.testing.assert_array_equal(blank, rows[:, :, None] & columns[:, None, :])
  # Lengths along an axis, from the clipped squares around every centre.
  lengths = [
    min(centre - side // 2 + side, size) - max(centre - side // 2, 0)
    for centre in range(size)
  ]
  assert set(rows.sum(1)) == set(columns.sum(1)) == set(lengths)
  mean_area = blank.sum((1, 2)).mean()
  np.testing.assert_allclose(mean_area, np.mean(lengths) ** 2, rtol=0.05)


def test_augment_without_augmentation_only_normalises():
  images = some_images(channels=1)
  np.testing.assert_array_equal(
    augment.augment(jax.random.key(0), images, PLAIN),
    augment.normalise(images, PLAIN.mean, PLAIN.std),
  )


def test_augment_pads_with_black_before_and_cuts_out_after_normalising():
  images = np.full((64, 8, 8, 1), 255, np.uint8)
  black, white = -2.0, 2.0
  padded = augment.Augmentation((0.5,), (0.25,), crop_padding=4)
  values = np.unique(augment.augment(jax.random.key(0), images, padded))
  np.testing.assert_array_equal(values, [black, white])
  cut = augment.Augmentation((0.5,), (0.25,), crop_padding=0, cutout=4)
  values = np.unique(augment.augment(jax.random.key(0), images, cut))
  np.testing.assert_array_equal(values, [0.0, white])


def test_augment_depends_on_the_key_alone_and_is_the_same_compiled():
  images = some_images(count=16)
  full = augment.Augmentation((0.5,) * 3, (0.2,) * 3, 4, True, 4)
  compiled = jax.jit(augment.augment, static_argnums=2)
  one = augment.augment(jax.random.key(3), images, full)
  chex.assert_shape(one, (16, 8, 8, 3))
  np.testing.assert_allclose(
    one, compiled(jax.random.key(3), images, full), atol=1e-6
  )
  other = compiled(jax.random.key(4), images, full)
  assert not np.allclose(one, other)


def test_epoch_order_is_a_new_permutation_each_epoch():
  key = jax.random.key(5)
  orders = [np.asarray(augment.epoch_order(key, e, 50)) for e in (0, 1, 0)]
  assert orders[0].dtype == np.int32
  for order in orders:
    np.testing.assert_array_equal(np.sort(order), np.arange(50))
  np.testing.assert_array_equal(orders[0], orders[2])
  assert not np.array_equal(orders[0], orders[1])


def test_batches_of_an_epoch_are_disjoint_inside_a_scan():
  @jax.jit
  def epoch(number):
    order = augment.epoch_order(jax.random.key(6), number, 11)

    def step(carry, position):
      return carry, augment.batch(order, position, 3)

    return order, jax.lax.scan(step, 0, jnp.arange(3))[1]

  order, batches = epoch(7)
  np.testing.assert_array_equal(np.ravel(batches), order[:9])
  assert len(np.unique(batches)) == 9
