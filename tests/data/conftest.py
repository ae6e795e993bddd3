"""Data sets that several test modules read."""

import io

import numpy as np
import pytest
from data_sets import colour, exif_of, save
from hypothesis import settings
from PIL import Image

# The same examples in every run, however slow the machine.
settings.register_profile(
  'tests', derandomize=True, deadline=None, max_examples=60
)
settings.load_profile('tests')


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


@pytest.fixture
def prepare(tmp_path):
  """Returns a function that makes a tiny TFDS data set, without TensorFlow."""
  tfds = pytest.importorskip('tensorflow_datasets')

  def make(splits, file_format='array_record', shape=(4, 4, 3), orientation=1):
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
        picture = Image.fromarray(image.squeeze())
        picture.save(buffer, 'PNG', exif=exif_of(orientation))
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
