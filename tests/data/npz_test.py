"""Tests of data sets in .npz files."""

import os

import numpy as np
import pytest
from data_sets import assert_same, load

from opp_darts_jax.errors import UserError


def test_npz_with_a_test_split(npz):
  images = np.arange(6 * 16, dtype=np.uint8).reshape(6, 4, 4)
  path = npz(
    images=images,
    labels=np.array([7, 3, 7, 3, 7, 3]),
    test_images=images[:2],
    test_labels=np.array([3, 7]),
  )
  own = load(path)
  assert own.name == 'own'
  assert own.class_names == ('3', '7')
  np.testing.assert_array_equal(own.train.images, images[..., None])
  np.testing.assert_array_equal(own.train.labels, [1, 0, 1, 0, 1, 0])
  np.testing.assert_array_equal(own.test.labels, [0, 1])
  assert_same(own.train, load(f'npz:{path}').train)


def test_npz_of_floats_texts_and_keras_names(npz):
  pixels = np.random.default_rng(0).random((10, 4, 4, 2))
  path = npz(x_train=pixels, y_train=np.array([['b'], ['a']] * 5))
  own = load(path)
  assert own.class_names == ('a', 'b')
  assert (len(own.train.labels), len(own.test.labels)) == (8, 2)
  images = np.concatenate([own.train.images, own.test.images])
  assert sorted(images.ravel()) == sorted(np.round(pixels * 255).ravel())
  resized = load(path, image_size=6)
  assert resized.train.images.shape == (8, 6, 6, 2)


def test_npz_arrays_that_are_not_used_are_said(npz):
  half = {'images': GOOD['images'][:2], 'labels': GOOD['labels'][:2]}
  others = {'val_images': half['images'], 'x_test': half['images']}
  assert load(npz(**GOOD, **others)).notes == (
    'not used beside train and test: val_images, x_test',
    'pixels are all 0',
  )
  tests = {f'test_{key}': array for key, array in half.items()}
  assert load(npz(**GOOD, **tests)).notes == ('pixels are all 0',)


GOOD = {
  'images': np.zeros((10, 4, 4, 3), np.uint8),
  'labels': np.arange(10) % 2,
}


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'labels': np.arange(9)}, 'one label per image .* 10 images and 9 labels'),
    ({'labels': np.zeros(10, int)}, 'at least 2 classes .* got 1: 0'),
    ({'labels': np.eye(10)}, r'labels to be \(n,\) .* \(10, 10\) int64'),
    ({'labels': np.array([{}] * 10)}, 'plain arrays, got .*own.npz'),
    ({'images': np.zeros((10, 48), np.uint8)}, r'\(n, H, W, C\), got \(10, 48'),
    ({'images': np.zeros((10, 6, 8, 3), np.uint8)}, 'got 6 high and 8 wide'),
    ({'images': np.full((10, 4, 4), 7.0)}, r'float64 to lie in 0\.\.1, got 7'),
    ({'images': np.full((10, 4, 4), np.nan)}, r'in 0\.\.1, got nan'),
    ({'images': np.full((10, 4, 4), -1)}, r'int64 to lie in 0\.\.255, got -1'),
    ({'images': np.full((10, 4, 4), 'x')}, 'images to be integers .* got <U1'),
    ({'test_images': GOOD['images']}, 'neither, got test_images alone'),
    (
      {'test_images': GOOD['images'], 'test_labels': np.arange(10)},
      'every label of test_labels .* to occur in labels, got 2',
    ),
    (
      {'test_images': np.zeros((2, 5, 5, 3), np.uint8), 'test_labels': [0, 1]},
      r'training images \(4, 4, 3\), got \(5, 5, 3\)',
    ),
    (
      {
        'test_images': np.zeros((0, 4, 4, 3), np.uint8),
        'test_labels': np.zeros(0, int),
      },
      r'at least one image in .*\(test\), got none',
    ),
  ],
)
def test_npz_that_does_not_suit(npz, change, message):
  path = npz(**{**GOOD, **change})
  with pytest.raises(UserError, match=message):
    load(path)


def test_npz_that_cannot_be_read(npz, tmp_path):
  with pytest.raises(UserError, match='gone.npz.*no such file'):
    load(tmp_path / 'gone.npz')
  (tmp_path / 'text.npz').write_text('hello')
  with pytest.raises(UserError, match='plain arrays, got .*text.npz'):
    load(tmp_path / 'text.npz')
  with open(tmp_path / 'array.npz', 'wb') as file:
    np.save(file, np.zeros(3))
  with pytest.raises(UserError, match='plain arrays, got .*array.npz'):
    load(tmp_path / 'array.npz')
  with pytest.raises(UserError, match='images and labels.*got pictures'):
    load(npz(pictures=np.zeros(3)))


def test_npz_of_a_name_that_is_not_utf_8(tmp_path):
  path = tmp_path / os.fsdecode(b'\xe9.npz')
  np.savez(path, **GOOD)
  assert load(path).name == r'\xe9'


def test_npz_with_labels_in_bytes_and_channels_first(npz):
  labels = np.array(['café'.encode(), b'dog'] * 5)
  own = load(npz(images=GOOD['images'], labels=labels))
  assert own.class_names == ('café', 'dog')
  with pytest.raises(UserError, match=r"labels .* UTF-8, got b'caf\\xe9'"):
    load(npz(images=GOOD['images'], labels=np.array([b'caf\xe9', b'dog'] * 5)))
  planes = np.zeros((10, 3, 16, 16), np.uint8)
  path = npz(images=planes, labels=GOOD['labels'])
  for size in (0, 32):
    with pytest.raises(
      UserError, match=r'\(10, 3, 16, 16\), in which channels'
    ):
      load(path, image_size=size)
