"""Tests of what holds for a data set of any source, on the digits."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from data_sets import assert_same, load

from opp_darts_jax import api
from opp_darts_jax.config import DataConfig, TrainConfig
from opp_darts_jax.data import channels, dataset
from opp_darts_jax.errors import UserError


def test_digits_are_real_images_split_by_class():
  digits = load('digits')
  assert digits.name == 'digits'
  assert digits.image_shape == (8, 8, 1)
  assert digits.class_names == tuple('0123456789')
  assert digits.num_classes == 10
  assert digits.train.images.shape == (1438, 8, 8, 1)
  assert digits.test.images.shape == (359, 8, 8, 1)
  assert digits.train.images.dtype == np.uint8
  assert digits.train.labels.dtype == np.int32
  assert digits.train.images.max() == 255
  total = np.bincount(digits.train.labels) + np.bincount(digits.test.labels)
  assert total.sum() == 1797
  assert np.abs(np.bincount(digits.test.labels) - 0.2 * total).max() < 1
  pixels = digits.train.images / 255
  np.testing.assert_allclose(digits.mean, [pixels.mean()], rtol=1e-9)
  np.testing.assert_allclose(digits.std, [pixels.std()], rtol=1e-9)


def test_a_data_set_is_said_without_its_pixels():
  text = repr(load('digits'))
  assert 'Split(images (1438, 8, 8, 1), labels (1438,))' in text
  assert 'array' not in text


def test_the_split_seed_decides_the_test_images():
  assert_same(load('digits').test, load('digits').test)
  other = load('digits', split_seed=1).test
  assert not np.array_equal(load('digits').test.images, other.images)


def test_max_train_and_max_test_keep_the_classes_balanced():
  digits = load('digits', max_train=100, max_test=20)
  np.testing.assert_array_equal(np.bincount(digits.train.labels), [10] * 10)
  np.testing.assert_array_equal(np.bincount(digits.test.labels), [2] * 10)
  whole = load('digits', max_train=10**6)
  assert len(whole.train.labels) == 1438
  with pytest.raises(UserError, match='max_train .* least 10, .* got 5'):
    load('digits', max_train=5)


def test_mean_and_std_may_be_given():
  digits = load('digits', mean=(0.25,), std=(0.5,))
  assert (digits.mean, digits.std) == ((0.25,), (0.5,))
  with pytest.raises(UserError, match=r'mean .* 1 channels, got \(0.1, 0.2\)'):
    load('digits', mean=(0.1, 0.2))


def test_a_config_tells_how_ready_images_were_made():
  made = DataConfig(held_out=0.25, max_train=8, background='black')
  images = np.arange(20 * 64, dtype=np.int32).reshape(20, 8, 8) % 256
  ready = dataset.of_arrays(images, np.arange(20) % 2, made)
  use = DataConfig(flip=False, cutout=2)
  told = dataset.made_by(ready, use)
  assert told == dataclasses.replace(
    made, source='arrays', flip=False, cutout=2
  )
  # It is what `search` and `train` write down.
  assert api._images(TrainConfig(data=use), ready)[1].data == told


def test_a_constant_channel_keeps_a_deviation_to_divide_by():
  mean, std = channels.mean_and_std(np.full((2, 4, 4, 1), 51, np.uint8))
  np.testing.assert_allclose((mean, std), ([0.2], [1 / 255]))


def test_digits_load_without_importing_tfds_or_jax():
  code = (
    'import sys\n'
    'from opp_darts_jax import config\n'
    'from opp_darts_jax.data import dataset\n'
    'assert "sklearn" not in sys.modules\n'
    'dataset.load(config.DataConfig())\n'
    'heavy = {"jax", "tensorflow", "tensorflow_datasets"}\n'
    'print(sorted(heavy & sys.modules.keys()))'
  )
  result = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert result.stdout.strip() == '[]'
