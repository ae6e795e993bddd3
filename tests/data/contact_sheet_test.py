"""Tests of the picture of training images."""

import numpy as np
import pytest
from data_sets import colour, load, pictures, save
from PIL import Image

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import stream
from opp_darts_jax.data.contact_sheet import write_contact_sheet
from opp_darts_jax.data.dataset import of_arrays

PLAIN = {'crop_padding': 0, 'flip': False}
WIDE = {'image_size': 64}  # shown as large as they are


def sheet_of(images, config, path, seed=0):
  write_contact_sheet(images, config, path, seed)
  with Image.open(path) as sheet:
    assert (sheet.format, sheet.mode) == ('PNG', 'RGB')
    return np.asarray(sheet)


def shown(sheet, row, column, line=18, side=64, gap=4):
  """One image on the sheet: (64, 64, 3)."""
  top = gap + row * (line + gap + side + gap) + line + gap
  left = gap + column * (side + gap)
  return sheet[top : top + side, left : left + side]


def test_each_class_has_a_row_of_its_images_enlarged(tmp_path):
  levels = np.arange(24, dtype=np.uint8)[:, None, None, None]
  pixels = 100 * (levels % 2) + levels + np.arange(16).reshape(1, 4, 4, 1) * 3
  own = of_arrays(pixels, np.arange(24) % 2, class_names=['dark', '猫 \n é'])
  sheet = sheet_of(own, DataConfig(**PLAIN), tmp_path / 'new' / 'sheet.png')
  assert sheet.shape == (4 + 2 * (18 + 4 + 64 + 4) + 4, 8 * 68 + 8, 3)
  stored = own.train.images[..., 0]
  for row in range(2):
    found = [shown(sheet, row, column) for column in range(8)]
    for image in found:
      assert (image[..., 0] == image[..., 1]).all()
      small = image[::16, ::16, 0]
      np.testing.assert_array_equal(
        np.kron(small, np.ones((16, 16))), image[..., 0]
      )
      (match,) = np.flatnonzero((stored == small).all((1, 2)))
      assert own.train.labels[match] == row
    assert len({image.tobytes() for image in found}) == 8
  assert (sheet[4:22] < 128).any()  # the name


def test_images_are_augmented_and_the_seed_decides(tmp_path):
  own = of_arrays(*pictures(20, 0, (64, 64, 3)))
  config = DataConfig(crop_padding=8, cutout=20)
  sheet = sheet_of(own, config, tmp_path / 'a.png')
  again = sheet_of(own, config, tmp_path / 'b.png')
  np.testing.assert_array_equal(again, sheet)
  assert (sheet_of(own, config, tmp_path / 'c.png', seed=1) != sheet).any()
  images = [
    shown(sheet, row, column) for row in range(2) for column in range(8)
  ]
  assert any(
    (image[0] == 0).all() or (image[-1] == 0).all() for image in images
  )
  mean = np.round(np.array(own.mean) * 255)
  assert any((image == mean).all(-1).sum() >= 100 for image in images)


def test_streams_are_shown_and_so_are_few_images_of_many_classes(tmp_path):
  for k in range(12):
    for i in range(2):
      save(tmp_path / 'set' / f'{k:02}' / f'{i}.png', colour(20 * k, (5, 9)))
  fields = {'source': str(tmp_path / 'set'), 'test_fraction': 0.5, **WIDE}
  config = DataConfig(**fields, **PLAIN, stream=True)
  streamed = sheet_of(stream.open_stream(config, 0), config, tmp_path / 's.png')
  config = DataConfig(**fields, **PLAIN)
  loaded = sheet_of(load(**fields), config, tmp_path / 'l.png')
  np.testing.assert_array_equal(streamed, loaded)
  for row in range(10):
    np.testing.assert_array_equal(
      shown(loaded, row, 0), colour(20 * row, (64, 64))
    )
  last = 4 + 10 * 90
  assert loaded.shape[0] == last + 18 + 4 + 4
  assert (loaded[last:] < 128).any()  # 'and 2 classes more'


def test_classes_of_a_tfds_stream_are_those_of_the_images(prepare, tmp_path):
  levels = np.repeat([40, 200], 10).astype(np.uint8)
  images = np.broadcast_to(levels[:, None, None, None], (20, 4, 4, 3))
  fields = prepare({'train': (images, np.arange(20) // 10)})
  config = DataConfig(stream=True, **WIDE, **fields, **PLAIN)
  sheet = sheet_of(stream.open_stream(config, 0), config, tmp_path / 's.png')
  for row, level in enumerate((40, 200)):
    np.testing.assert_array_equal(shown(sheet, row, 0), colour(level, (64, 64)))


@pytest.mark.parametrize('channels', [1, 2, 5])
def test_any_number_of_channels_can_be_shown(tmp_path, channels):
  own = of_arrays(*pictures(20, 0, (64, 64, channels)))
  sheet = sheet_of(own, DataConfig(**PLAIN), tmp_path / 'sheet.png')
  first = shown(sheet, 0, 0)
  seen = own.train.images[..., : 3 if channels > 2 else 1]
  assert (seen == first).all((1, 2, 3)).sum() == 1
