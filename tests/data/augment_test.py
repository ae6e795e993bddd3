"""Tests of the augmentation and the batch order."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import augment, dataset
from opp_darts_jax.errors import UserError

PLAIN = augment.Augmentation(
  mean=(0.5,), std=(0.25,), crop_padding=0, flip=False
)

compiled = jax.jit(augment.augment, static_argnums=2)
cutout = jax.jit(augment.random_cutout, static_argnums=2)
random_crop = jax.jit(augment.random_crop, static_argnums=2)
resized_crop = jax.jit(augment.random_resized_crop)
jitter = jax.jit(augment.colour_jitter, static_argnums=2)
flip = jax.jit(augment.random_flip)
normalise = jax.jit(augment.normalise, static_argnums=(1, 2))


def some_images(count=6, size=8, channels=3):
  rng = np.random.default_rng(0)
  return rng.integers(1, 256, (count, size, size, channels), np.uint8)


def test_normalise_gives_the_exact_numbers():
  images = np.array([[[[0, 255]], [[51, 102]]]], np.uint8)
  result = normalise(images, (0.5, 0.0), (0.5, 2.0))
  chex.assert_shape(result, (1, 2, 1, 2))
  assert result.dtype == jnp.float32
  np.testing.assert_allclose(
    result, [[[[-1.0, 0.5]], [[-0.6, 0.2]]]], rtol=1e-6
  )


def test_crops_are_windows_of_the_padded_image():
  images, padding = some_images(count=40), 2
  crops = random_crop(jax.random.key(0), images, padding)
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
  flipped = np.asarray(flip(jax.random.key(1), images))
  same = (flipped == images).all((1, 2, 3))
  mirrored = (flipped == images[:, :, ::-1]).all((1, 2, 3))
  assert (same ^ mirrored).all()
  assert 160 < mirrored.sum() < 240  # 4 standard deviations


@pytest.mark.parametrize('side', [1, 4, 5])
def test_cutout_blanks_one_clipped_square_anywhere(side):
  count, size = 2000, 8
  images = np.ones((count, size, size, 2), np.float32)
  result = np.asarray(cutout(jax.random.key(2), images, side))
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


def test_resized_crops_stretch_parts_of_an_image_over_the_whole():
  ramp = np.arange(64, dtype=np.uint8) * 4
  images = np.stack([np.tile(ramp, (64, 1)), np.tile(ramp[:, None], 64)], -1)
  crops = resized_crop(jax.random.key(0), images[None].repeat(64, 0))
  chex.assert_shape(crops, (64, 64, 64, 2))
  crops = np.asarray(crops)
  across, down = crops[:, 32, :, 0], crops[:, :, 32, 1]
  for lines in (across, down):
    # Linear away from the border: a straight line, of slope 4 where it is
    # the whole image and less where a part was taken.
    slopes = np.diff(lines, axis=1)[:, 10:-10]
    np.testing.assert_allclose(
      slopes, slopes.mean(1, keepdims=True).repeat(43, 1), atol=0.01
    )
    assert slopes.min() > 4 * np.sqrt(0.08 * 3 / 4) - 0.02
    assert slopes.max() < 4 + 0.02
    assert slopes.mean(1).std() > 0.3
    assert lines.min() >= 0
    assert lines.max() <= 252.01
  # Parts are as the shared rule says: no larger area, and neither axis alone.
  area = np.diff(across)[:, 20] * np.diff(down)[:, 20] / 16
  assert area.min() > 0.08 - 0.01
  assert 0.4 < area.mean() < 0.65


def test_the_whole_image_as_its_crop_is_the_image(monkeypatch):
  images = some_images()
  monkeypatch.setattr(
    augment.decode, 'random_box', lambda u, h, w: (0.0 * u[0], 0, h, w)
  )
  # Not `resized_crop`, which may have been traced with boxes.
  crops = jax.jit(lambda key: augment.random_resized_crop(key, images))(
    jax.random.key(0)
  )
  np.testing.assert_allclose(crops, images, atol=1e-3)


@pytest.mark.parametrize('channels', [1, 3])
def test_jitter_scales_brightness_contrast_and_saturation(channels):
  images = np.full((400, 4, 4, channels), 100, np.uint8)
  one = np.asarray(jitter(jax.random.key(0), images, 0.4))
  # An even grey has no contrast and no saturation, so brightness shows.
  factors = one[:, 0, 0, 0] / 100
  want = np.broadcast_to(100 * factors[:, None, None, None], images.shape)
  np.testing.assert_allclose(one, want, rtol=1e-4)
  assert 0.6 <= factors.min() < 0.65
  assert 1.35 < factors.max() <= 1.4 + 1e-5
  np.testing.assert_allclose(factors.mean(), 1, atol=0.04)


def test_jitter_keeps_what_each_factor_should_keep():
  middle = some_images(count=50).astype(float) / 3 + 80  # nowhere near 0 or 255
  result = np.asarray(jitter(jax.random.key(1), middle, 0.05))
  grey = np.array([0.299, 0.587, 0.114])
  before, after = middle @ grey, result @ grey
  # Saturation moves no grey, contrast no mean of it: both show alone.
  brightness = after.mean((1, 2)) / before.mean((1, 2))
  assert np.abs(brightness - 1).max() <= 0.05 + 1e-4
  contrast = after.std((1, 2)) / before.std((1, 2)) / brightness
  assert np.abs(contrast - 1).max() <= 0.05 + 1e-4
  colour = result - after[..., None]
  own = (middle - before[..., None]) * (brightness * contrast)[
    :, None, None, None
  ]
  ratio = (colour * own).sum((1, 2, 3)) / (own**2).sum((1, 2, 3))
  np.testing.assert_allclose(
    colour, ratio[:, None, None, None] * own, atol=0.02
  )
  for factors in (brightness, contrast, ratio):
    assert factors.std() > 0.02
  assert np.abs(ratio - 1).max() <= 0.05 + 1e-3


def test_jitter_stays_within_black_and_white():
  result = np.asarray(jitter(jax.random.key(2), some_images(200), 1.0))
  assert result.min() == 0
  assert result.max() == 255


def test_new_augmentations_leave_the_others_numbers_alone():
  images, key = some_images(count=8), jax.random.key(3)
  plain = augment.Augmentation((0.5,) * 3, (0.2,) * 3, 4, True, 4)
  crop_key, flip_key, cutout_key = jax.random.split(key, 3)
  want = augment.random_crop(crop_key, images, 4)
  want = augment.random_flip(flip_key, want)
  want = augment.normalise(want, plain.mean, plain.std)
  want = augment.random_cutout(cutout_key, want, 4)
  np.testing.assert_array_equal(augment.augment(key, images, plain), want)
  keys = [*jax.random.split(key, 3), jax.random.fold_in(key, 3)]
  assert len({bytes(np.asarray(jax.random.key_data(k))) for k in keys}) == 4


def test_augment_crops_and_jitters_as_the_config_says():
  images = dataset.load(DataConfig(max_train=20))

  def of(**fields):
    return augment.Augmentation.of(images, DataConfig(**fields))

  plain = of()
  assert (plain.crop_padding, plain.resized_crop, plain.jitter) == (4, False, 0)
  resized = of(crop='resized', jitter=0.3, flip=False)
  assert (resized.crop_padding, resized.resized_crop) == (0, True)
  cut_before = of(crop='resized', stream=True, image_size=8)
  assert (cut_before.crop_padding, cut_before.resized_crop) == (0, False)
  assert of(stream=True, image_size=8).crop_padding == 4
  key = jax.random.key(0)

  @jax.jit
  def parts(key, images, mean, std):
    images = augment.random_resized_crop(jax.random.split(key, 3)[0], images)
    images = augment.colour_jitter(jax.random.fold_in(key, 3), images, 0.3)
    return augment.normalise(images, mean, std)

  want = parts(key, images.train.images, images.mean, images.std)
  result = compiled(key, images.train.images, resized)
  np.testing.assert_allclose(result, want, atol=1e-5)


def test_augment_without_augmentation_only_normalises():
  images = some_images(channels=1)
  np.testing.assert_array_equal(
    compiled(jax.random.key(0), images, PLAIN),
    normalise(images, PLAIN.mean, PLAIN.std),
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
  images = some_images(count=8)
  full = augment.Augmentation((0.5,) * 3, (0.2,) * 3, 4, True, 4)
  one = augment.augment(jax.random.key(3), images, full)
  chex.assert_shape(one, (8, 8, 8, 3))
  np.testing.assert_allclose(
    one, compiled(jax.random.key(3), images, full), atol=1e-6
  )
  other = compiled(jax.random.key(4), images, full)
  assert not np.allclose(one, other)


def test_epoch_order_is_a_new_permutation_each_epoch():
  key = jax.random.key(5)
  order_of = jax.jit(augment.epoch_order, static_argnums=2)
  orders = [np.asarray(order_of(key, np.int32(e), 50)) for e in (0, 1, 0)]
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


@pytest.mark.parametrize('side', [8, 16])
def test_a_cutout_that_may_blank_an_image_is_refused(side):
  images = dataset.load(DataConfig(max_train=20))
  message = f'less than the 8 pixels of the images, .* or 0; got {side}'
  with pytest.raises(UserError, match=message):
    augment.Augmentation.of(images, DataConfig(cutout=side))
  assert augment.Augmentation.of(images, DataConfig(cutout=7)).cutout == 7


def test_a_crop_that_may_show_nothing_is_refused():
  images = dataset.load(DataConfig(max_train=20))
  config = DataConfig(crop_padding=8)
  with pytest.raises(UserError, match='less than the 8 pixels .*; got 8'):
    augment.Augmentation.of(images, config)
  config = dataclasses.replace(config, crop='resized')
  assert augment.Augmentation.of(images, config).crop_padding == 0
  config = DataConfig(crop_padding=7)
  assert augment.Augmentation.of(images, config).crop_padding == 7
