"""Tests of the data sets."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import dataset, stream, tfds
from opp_darts_jax.data.split import Split
from opp_darts_jax.errors import DataError, UserError


def save(path, pixels):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def colour(level, size=(4, 4)):
  return np.full((*size, 3), level, np.uint8)


@pytest.fixture
def folder(tmp_path):
  """Ten images of each of two classes; the level tells which is which."""
  for i in range(10):
    save(tmp_path / 'pets' / 'cat' / f'{i}.png', colour(i))
    save(tmp_path / 'pets' / 'dog' / f'{i}.PNG', colour(100 + i))
  return tmp_path / 'pets'


@pytest.fixture
def npz(tmp_path):
  """Returns a function that writes arrays and gives the path."""

  def write(**arrays):
    np.savez(tmp_path / 'own.npz', **arrays)
    return str(tmp_path / 'own.npz')

  return write


def load(source, **fields):
  return dataset.load(DataConfig(source=str(source), **fields))


def assert_same(one, other):
  np.testing.assert_array_equal(one.images, other.images)
  np.testing.assert_array_equal(one.labels, other.labels)


# --- Splits


@pytest.mark.parametrize('fraction', [0.5, 0.2, 0.9])
def test_halves_are_disjoint_complete_and_exactly_stratified(fraction):
  labels = np.repeat([0, 1, 2], [100, 50, 10])[::-1]
  train, val = dataset.halves(labels, fraction, seed=3)
  assert train.dtype == val.dtype == np.int32
  np.testing.assert_array_equal(
    np.sort(np.concatenate([train, val])), np.arange(160)
  )
  np.testing.assert_array_equal(
    np.bincount(labels[train]), np.round(fraction * np.array([100, 50, 10]))
  )


def test_halves_of_odd_classes_are_off_by_less_than_one_image():
  labels = np.random.default_rng(0).integers(0, 7, 1001)
  train, val = dataset.halves(labels, 1 / 3, seed=0)
  assert len(train) == round(1001 / 3)
  share = np.bincount(labels) / 3
  assert np.abs(np.bincount(labels[train]) - share).max() < 1


def test_halves_depend_on_the_seed_alone_and_are_shuffled():
  labels = np.repeat(np.arange(4), 25)
  one, again = dataset.halves(labels, 0.5, 1), dataset.halves(labels, 0.5, 1)
  np.testing.assert_array_equal(one[0], again[0])
  np.testing.assert_array_equal(one[1], again[1])
  assert not np.array_equal(one[0], dataset.halves(labels, 0.5, 2)[0])
  for part in one:
    assert not np.array_equal(part, np.sort(part))
    # Not class after class in turn, either.
    assert len(set(map(tuple, labels[part][:48].reshape(12, 4)))) > 6


@pytest.mark.parametrize('fraction', [0.0, 1.0, -0.5, 1.5, 0.01])
def test_halves_refuses_an_empty_part(fraction):
  with pytest.raises(UserError, match=r'between 0 and 1 .* of 10 images'):
    dataset.halves(np.arange(10) % 2, fraction, 0)


# --- Digits


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
  with pytest.raises(UserError, match='max_train .* classes, 10, got 5'):
    load('digits', max_train=5)


def test_mean_and_std_may_be_given():
  digits = load('digits', mean=(0.25,), std=(0.5,))
  assert (digits.mean, digits.std) == ((0.25,), (0.5,))
  with pytest.raises(UserError, match=r'mean .* 1 channels, got \(0.1, 0.2\)'):
    load('digits', mean=(0.1, 0.2))


def test_a_constant_channel_keeps_a_deviation_to_divide_by():
  mean, std = dataset.mean_and_std(np.full((2, 4, 4, 1), 51, np.uint8))
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


# --- Folders


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
  with pytest.raises(UserError, match="class folder .*fish'.* ending in .bmp"):
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


# --- Arrays


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


GOOD = {
  'images': np.zeros((10, 4, 4, 3), np.uint8),
  'labels': np.arange(10) % 2,
}


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'labels': np.arange(9)}, 'one label per image .* 10 images and 9 labels'),
    ({'labels': np.zeros(10, int)}, 'at least 2 classes .* got 1: 0'),
    ({'labels': np.eye(10)}, r'labels to be \(n,\) .* \(10, 10\) float64'),
    ({'labels': np.array([{}] * 10)}, 'plain arrays, got .*own.npz'),
    ({'images': np.zeros((10, 48), np.uint8)}, r'\(n, H, W, C\), got \(10, 48'),
    ({'images': np.zeros((10, 3, 8, 8), np.uint8)}, 'got 3 high and 8 wide'),
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


# --- TFDS


@pytest.fixture
def prepare(tmp_path):
  """Returns a function that makes a tiny TFDS data set, without TensorFlow."""
  tfds = pytest.importorskip('tensorflow_datasets')

  def make(splits, file_format='array_record', shape=(4, 4, 3)):
    features = tfds.features.FeaturesDict(
      {
        'image': tfds.features.Image(shape=shape, encoding_format='png'),
        'label': tfds.features.ClassLabel(names=['cat', 'dog']),
      }
    )

    def info(self):
      return self.dataset_info_from_configs(
        features=features, supervised_keys=('image', 'label')
      )

    def examples(images, labels):
      for i, (image, label) in enumerate(zip(images, labels)):
        buffer = io.BytesIO()
        Image.fromarray(image.squeeze()).save(buffer, 'PNG')
        buffer.seek(0)
        yield i, {'image': buffer, 'label': int(label)}

    methods = {
      'VERSION': tfds.core.Version('1.0.0'),
      '_info': info,
      '__module__': __name__,
      'pkg_dir_path': tmp_path,
      '_split_generators': lambda self, _: {
        name: examples(*split) for name, split in splits.items()
      },
      '_generate_examples': lambda self: None,
    }
    with tfds.core.registered.skip_registration():
      bases = (tfds.core.GeneratorBasedBuilder,)
      builder = type('TinyPets', bases, methods)
    builder(data_dir=tmp_path, file_format=file_format).download_and_prepare()
    return {'source': 'tiny_pets', 'data_dir': str(tmp_path)}

  return make


def pictures(count, seed, shape=(4, 4, 3)):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (count, *shape), np.uint8), np.arange(count) % 2


def by_content(split):
  return sorted((image.tobytes(), int(label)) for image, label in zip(*split))


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


def test_tfds_mixed_sizes_are_named(prepare):
  images, labels = pictures(4, 0)
  mixed = [*images[:3], np.zeros((5, 5, 3), np.uint8)]
  config = prepare({'train': (mixed, labels)}, shape=(None, None, 3))
  with pytest.raises(UserError, match=r'image 0 of tiny_pets \(train\) of'):
    load(**config)
  resized = load(**config, image_size=4, test_fraction=0.5)
  assert resized.image_shape == (4, 4, 3)


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
