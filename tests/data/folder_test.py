"""Tests of data sets in folders."""

import io

import numpy as np
import pytest
from data_sets import assert_same, colour, load, save
from PIL import Image

from opp_darts_jax.data import gathering
from opp_darts_jax.errors import UserError


def test_folder_of_class_folders(folder):
  pets = load(folder)
  assert pets.name == 'pets'
  assert pets.class_names == ('cat', 'dog')
  assert pets.train.images.shape == (16, 4, 4, 3)
  assert pets.test.images.shape == (4, 4, 4, 3)
  np.testing.assert_array_equal(np.bincount(pets.test.labels), [2, 2])
  for split in (pets.train, pets.test):
    levels = split.images[:, 0, 0, 0]
    np.testing.assert_array_equal(levels >= 100, split.labels == 1)
  levels = np.concatenate([pets.train.images, pets.test.images])[:, 0, 0, 0]
  assert sorted(levels) == [*range(10), *range(100, 110)]
  assert_same(pets.train, load(f'folder:{folder}').train)


@pytest.mark.parametrize('test_name', ['test', 'val'])
def test_folder_with_train_and_test(tmp_path, test_name):
  for k, name in enumerate('ab'):
    save(tmp_path / 'train' / name / 'x.bmp', colour(k))
    save(tmp_path / 'train' / name / 'y.gif', colour(k))
  save(tmp_path / test_name / 'b' / 'z.webp', colour(200))
  own = load(tmp_path)
  np.testing.assert_array_equal(own.train.labels, [0, 0, 1, 1])
  np.testing.assert_array_equal(own.test.labels, [1])
  save(tmp_path / test_name / 'c' / 'z.png', colour(200))
  with pytest.raises(UserError, match="class folder .* 'c'; valid are: a, b"):
    load(tmp_path)


def test_a_class_may_be_called_train(tmp_path):
  for name in ('train', 'plane'):
    for i in range(5):
      save(tmp_path / name / f'{i}.png', colour(i))
  assert load(tmp_path).class_names == ('plane', 'train')


def test_grey_folder_has_one_channel_and_mixed_has_three(tmp_path):
  for name in 'ab':
    for i in range(5):
      save(tmp_path / name / f'{i}.png', np.full((4, 4), i))
  assert load(tmp_path).image_shape == (4, 4, 1)
  save(tmp_path / 'b' / 'colour.png', colour(9))
  assert load(tmp_path).image_shape == (4, 4, 3)


@pytest.mark.parametrize('colourful', ['0.png', '9.png'])
def test_a_part_of_a_folder_in_colour_is_in_colour(tmp_path, colourful):
  for name in 'ab':
    for i in range(10):
      save(tmp_path / name / f'{i}.png', np.full((4, 4), i))
  save(tmp_path / 'b' / colourful, colour(200))
  # Seeds that choose it, and such that do not.
  for seed in range(4):
    part = load(tmp_path, max_train=2, max_test=2, split_seed=seed)
    assert part.image_shape == (4, 4, 3)
    said = f'{4 - int(seen_in(part, 200))} images in grey made colour'
    assert part.notes == (said,)


def seen_in(images, level):
  splits = images.train, images.test
  return any((split.images == level).any() for split in splits)


def test_more_images_than_memory_holds_are_told(folder, monkeypatch):
  empty = np.empty

  def scarce(shape, dtype):
    if shape[0] == 20:
      raise MemoryError
    return empty(shape, dtype)

  monkeypatch.setattr(gathering.np, 'empty', scarce)
  with pytest.raises(UserError, match='memory for 20 .* 4x4x3, .*max_tr'):
    load(folder)


def test_images_are_resized_and_antialiased(tmp_path):
  stripes = colour(0, (8, 16))
  stripes[:, ::2] = 200
  for name in 'ab':
    for i in range(2):
      save(tmp_path / name / f'{i}.png', stripes)
  own = load(tmp_path, image_size=4, test_fraction=0.5)
  assert own.train.images.shape == (2, 4, 4, 3)
  # Nearest neighbours would give 0 or 200; an average of stripes is grey.
  np.testing.assert_allclose(own.train.images, 100, atol=16)


def test_folder_of_mixed_sizes_names_two_files(folder):
  save(folder / 'dog' / '3.PNG', colour(0, (5, 6)))
  with pytest.raises(
    UserError,
    match=r'cat/0.png of 4x4 and .*dog/3.PNG of 5x6 .*image_size=N to resize',
  ):
    load(folder)


def test_folder_that_is_not_square(tmp_path):
  for name in 'ab':
    save(tmp_path / name / 'x.png', colour(0, (4, 6)))
  with pytest.raises(UserError, match='square .* got 4 high and 6 wide; set'):
    load(tmp_path)


def test_images_too_small(tmp_path):
  for name in 'ab':
    save(tmp_path / name / 'x.png', colour(0, (2, 2)))
  with pytest.raises(UserError, match='at least 4 pixels'):
    load(tmp_path)


def test_folder_errors(tmp_path, folder):
  with pytest.raises(UserError, match='gone.*which is not a folder'):
    load(tmp_path / 'gone')
  (tmp_path / 'empty').mkdir()
  with pytest.raises(UserError, match='one folder per class .* no folders'):
    load(tmp_path / 'empty')
  save(tmp_path / 'one' / 'pets' / 'x.png', colour(0))
  with pytest.raises(UserError, match='at least 2 classes .* got 1: pets'):
    load(tmp_path / 'one')
  (folder / 'fish').mkdir()
  (folder / 'fish' / 'readme.txt').write_text('no image')
  with pytest.raises(
    UserError, match="Pillow .*fish', got 1 file skipped: .txt 1"
  ):
    load(folder)


@pytest.mark.parametrize('keep', [0, 20, 60])
def test_an_unreadable_image_is_named(folder, keep):
  buffer = io.BytesIO()
  noise = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
  Image.fromarray(noise).save(buffer, 'PNG')
  (folder / 'dog' / 'bad.png').write_bytes(buffer.getvalue()[:keep])
  with pytest.raises(UserError, match=r'can be read, got .*dog/bad\.png: '):
    load(folder)


def test_sixteen_bit_images_are_refused(folder):
  Image.fromarray(np.zeros((4, 4), np.uint16)).save(folder / 'dog' / 'x.png')
  with pytest.raises(UserError, match=r'8 bits .*dog/x\.png in mode I;16'):
    load(folder)
