"""Tests of data sets of TFDS."""

import sys

import numpy as np
import pytest
from data_sets import assert_same, by_content, load, pictures, turned

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import stream, tfds
from opp_darts_jax.data.split import Split
from opp_darts_jax.errors import DataError, UserError


@pytest.mark.parametrize('test_name', ['test', 'validation'])
def test_tfds_images_come_back_bit_for_bit(prepare, test_name, monkeypatch):
  monkeypatch.setattr(tfds, '_READ_AT_ONCE', 4)
  splits = {'train': pictures(10, 0), test_name: pictures(6, 1)}
  pets = load(**prepare(splits))
  assert pets.name == 'tiny_pets'
  assert pets.class_names == ('cat', 'dog')
  assert pets.train.images.shape == (10, 4, 4, 3)
  # TFDS shuffles the order of what it stores.
  assert by_content(pets.train) == by_content(splits['train'])
  assert by_content(pets.test) == by_content(splits[test_name])
  assert 'tensorflow' not in sys.modules


def test_tfds_grey_images_and_a_test_split_without_labels(prepare):
  shape = (6, 6, 1)
  images, _ = pictures(4, 1, shape)
  splits = {'train': pictures(10, 0, shape), 'test': (images, [-1] * 4)}
  pets = load(**prepare(splits, shape=shape), image_size=4)
  assert pets.train.images.shape == (8, 4, 4, 1)
  np.testing.assert_array_equal(np.bincount(pets.test.labels), [1, 1])


def test_tfds_splits_that_are_not_used_are_said(prepare):
  images, _ = pictures(4, 1)
  splits = {
    'train': pictures(10, 0),
    'test': (images, [-1] * 4),
    'validation': pictures(4, 2),
    'extra': pictures(4, 3),
  }
  fields = prepare(splits)
  pets = load(**fields)
  assert by_content(pets.test) == by_content(splits['validation'])
  said = ('not used beside train and test: extra, test',)
  assert pets.notes == said
  config = DataConfig(stream=True, image_size=4, **fields)
  assert stream.open_stream(config, seed=0).notes == said


def test_tfds_mixed_sizes_are_named(prepare):
  images, labels = pictures(4, 0)
  mixed = [*images[:3], np.zeros((5, 5, 3), np.uint8)]
  config = prepare({'train': (mixed, labels)}, shape=(None, None, 3))
  with pytest.raises(UserError, match=r'image 0 of tiny_pets \(train\) of'):
    load(**config)
  resized = load(**config, image_size=4, test_fraction=0.5)
  assert resized.image_shape == (4, 4, 3)


def test_tfds_images_are_turned_upright_and_laid_on_the_background(prepare):
  images, labels = pictures(10, 0, (4, 4, 4))
  images[..., 3] = np.array([255, 0])[np.arange(10) % 2, None, None]
  stored = np.stack([turned(image, 6) for image in images])
  fields = prepare({'train': (stored, labels)}, shape=(4, 4, 4), orientation=6)
  fields |= {'background': 'black', 'test_fraction': 0.5}
  pets = load(**fields)
  want = (images[..., :3] * (images[..., 3:] == 255), labels)
  ours = by_content(pets.train) + by_content(pets.test)
  assert sorted(ours) == by_content(want)
  assert pets.notes == (
    '10 images turned upright (EXIF orientation)',
    '5 images with transparency laid on black',
  )
  config = DataConfig(stream=True, image_size=4, **fields)
  opened = stream.open_stream(config, seed=0)
  assert set(by_content(next(opened.train_batches(5, 0)))) <= set(ours)
  assert opened.notes[0] == '5 images turned upright (EXIF orientation)'


def test_tfds_stream_gives_what_load_does(prepare):
  splits = {'train': pictures(10, 0), 'test': pictures(5, 1)}
  fields = prepare(splits) | {'image_size': 4, 'max_train': 6}
  opened = stream.open_stream(DataConfig(stream=True, **fields), seed=0)
  pets = load(**fields)
  assert (opened.name, opened.class_names) == (pets.name, pets.class_names)
  assert (opened.num_train, opened.num_test) == (6, 5)
  # The part that max_train leaves is drawn without looking at labels.
  images, labels = next(opened.train_batches(6, 0))
  stored = by_content(splits['train'])
  assert set(by_content((images, labels))) <= set(stored)
  assert len(set(by_content((images, labels)))) == 6
  parts = list(opened.test_batches(2))
  assert [len(labels) for _, labels in parts] == [2, 2, 2]
  images, labels = map(np.concatenate, zip(*parts))
  assert_same(Split(images[:5], labels[:5]), pets.test)
  assert 'tensorflow' not in sys.modules


def test_tfds_files_that_are_cut_are_told(prepare, tmp_path):
  fields = prepare({'train': pictures(10, 0)})
  for path in tmp_path.glob('**/*array_record*'):
    path.write_bytes(path.read_bytes()[:64])
  with pytest.raises(DataError, match='files of tiny_pets .train. to stay'):
    load(**fields)
  config = DataConfig(stream=True, image_size=4, **fields)
  with pytest.raises(DataError, match='files of tiny_pets .train. to stay'):
    stream.open_stream(config, seed=0)


def test_tfds_name_that_does_not_exist(tmp_path):
  pytest.importorskip('tensorflow_datasets')
  with pytest.raises(UserError, match="'cifra10': .* did you mean .*cifar10"):
    load('cifra10', data_dir=str(tmp_path))
  with pytest.raises(UserError, match="name of a TFDS data set, got 'a b'"):
    load('tfds:a b', data_dir=str(tmp_path))
  with pytest.raises(
    UserError, match=r"name of a .* got 'mnist:2\.0\.0': .* 2.0.0, only: "
  ):
    load('mnist:2.0.0', data_dir=str(tmp_path))


def test_tfds_data_set_that_cannot_be_downloaded(tmp_path, monkeypatch):
  tfds = pytest.importorskip('tensorflow_datasets')

  def fail(self):
    raise ConnectionError('no route to host\nand a long story')

  monkeypatch.setattr(
    tfds.core.GeneratorBasedBuilder, 'download_and_prepare', fail
  )
  with pytest.raises(
    UserError,
    match=r"'mnist' is not prepared in .*mnist.*no route to host\); prepare",
  ):
    load('mnist', data_dir=str(tmp_path))


def test_tfds_without_tfds(monkeypatch):
  monkeypatch.setitem(sys.modules, 'tensorflow_datasets', None)
  with pytest.raises(UserError, match='pip install tensorflow-datasets'):
    load('tfds:digits')
