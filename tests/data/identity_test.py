"""What a data set is by content: the same wherever it lies, else another."""

import json
import shutil

import numpy as np
import pytest
from data_sets import colour, load, pictures, save

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import stream
from opp_darts_jax.data.dataset import of_arrays
from opp_darts_jax.errors import DataError

IMAGES, LABELS = pictures(20, 0)


def opened(source, **fields):
  config = DataConfig(source=str(source), stream=True, image_size=4, **fields)
  return stream.open_stream(config, seed=0)


def test_the_identity_of_arrays_says_what_they_are():
  images = np.arange(6 * 48, dtype=np.uint8).reshape(6, 4, 4, 3)
  labels = np.arange(6) % 2
  test = (images[:2], labels[:2])
  own = of_arrays(images, labels, test=test, class_names=['cat', 'dog'])
  assert own.identity() == {
    'classes': ['cat', 'dog'],
    'num_train': 6,
    'num_test': 2,
    'image_shape': [4, 4, 3],
    # The same on any machine, with any numpy.
    'fingerprint': 'e13cf764c244a4cb',
  }
  assert json.loads(json.dumps(own.identity())) == own.identity()


def test_the_fingerprint_does_not_depend_on_how_arrays_lie_in_memory():
  own = of_arrays(IMAGES, LABELS).fingerprint
  for images, labels in (
    (np.asfortranarray(IMAGES), LABELS.astype('>i8')),
    (np.repeat(IMAGES, 2, axis=0)[::2], LABELS.astype(np.uint8)),
    (IMAGES / 255, LABELS.astype(str)),
  ):
    assert of_arrays(images, labels).fingerprint == own


@pytest.mark.parametrize('what', ['pixel', 'labels', 'names', 'split', 'shape'])
def test_the_fingerprint_changes_with_the_content(what):
  images, labels, names, config = IMAGES.copy(), LABELS, ['a', 'b'], {}
  if what == 'pixel':
    images[7, 2, 1, 0] ^= 1
  elif what == 'labels':
    labels = 1 - LABELS
  elif what == 'names':
    names = ['a', 'c']
  elif what == 'split':
    config = {'split_seed': 1}
  else:
    images = images.reshape(20, 4, 4, 3).swapaxes(1, 2)
  own = of_arrays(IMAGES, LABELS, class_names=['a', 'b'])
  other = of_arrays(images, labels, DataConfig(**config), class_names=names)
  assert other.fingerprint != own.fingerprint


@pytest.mark.parametrize('read', [load, opened])
def test_a_folder_is_known_again_elsewhere_and_not_if_it_changed(
  folder, tmp_path, read
):
  own = read(folder).identity()
  assert own['classes'] == ['cat', 'dog']
  moved = tmp_path / 'moved'
  shutil.copytree(folder, moved)
  assert read(moved).identity() == own
  (moved / 'cat').rename(moved / 'zebra')  # The order of labels is another.
  assert read(moved).identity() != own
  (moved / 'zebra').rename(moved / 'cat')
  assert read(moved).identity() == own
  save(moved / 'dog' / '3.PNG', IMAGES[0])
  changed = read(moved)
  assert changed.fingerprint != own['fingerprint']
  assert changed.num_train == own['num_train']


def test_a_stream_knows_files_by_name_and_size_and_reads_none(folder):
  own = opened(folder)
  assert '.png' not in repr(own)
  want = own.fingerprint
  for path in folder.glob('*/*'):
    path.write_bytes(bytes(path.stat().st_size))
  assert own.fingerprint == want
  (folder / 'cat' / '0.png').rename(folder / 'cat' / '00.png')
  with pytest.raises(DataError, match=r'can be read, got: .*cat/0\.png'):
    list(own.train.images.marks())


def test_a_stream_with_a_file_more_is_another(folder):
  own = opened(folder).fingerprint
  save(folder / 'dog' / 'more.png', colour(3))
  assert opened(folder).fingerprint != own


def test_tfds_data_sets_are_known_by_name_version_and_splits(prepare):
  fields = prepare({'train': pictures(10, 0), 'test': pictures(6, 1)})
  config = DataConfig(stream=True, image_size=4, **fields)
  own = stream.open_stream(config, seed=0)
  assert stream.open_stream(config, seed=1).identity() == own.identity()
  assert own.train.images.version == 'tiny_pets/1.0.0'
  marks = list(own.train.images.marks())
  assert marks == [b'tiny_pets/1.0.0', b'tiny_pets (train)']
  assert own.identity()['num_test'] == 6
