"""One contract for all data sources, those of the package and a user's own."""

import itertools
import textwrap

import numpy as np
import pytest
from data_sets import assert_same, load, pictures

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import dataset, decode, stream
from opp_darts_jax.data.catalogue import SOURCES, find_source
from opp_darts_jax.data.source import EncodedSource, Source
from opp_darts_jax.data.split import Split
from opp_darts_jax.errors import DataError, UserError

OWN = """
  import io

  import numpy as np
  from PIL import Image

  from opp_darts_jax.data.decode import Encoded
  from opp_darts_jax.data.source import DataSource, EncodedSource, Source
  from opp_darts_jax.data.split import Split

  NAMES = ('dark', 'light')
  NUMBER = 7


  def shades(count):
    levels = np.arange(count, dtype=np.uint8) % 2 * 100
    pixels = np.arange(36, dtype=np.uint8).reshape(6, 6, 1)
    return Split(levels[:, None, None, None] + pixels, np.arange(count) % 2)


  def read(place, config):
    assert place == ''
    return Source('shades', shades(20), shades(6), NAMES)


  class Stored:
    def __init__(self, count):
      self.split = shades(count)

    @property
    def labels(self):
      return self.split.labels

    def __len__(self):
      return len(self.labels)

    def __getitem__(self, row):
      buffer = io.BytesIO()
      Image.fromarray(self.split.images[row, ..., 0]).save(buffer, 'PNG')
      return Encoded(buffer.getvalue(), f'shade {row}', int(self.labels[row]))


  def listing(place, config):
    return EncodedSource('shades', Stored(20), Stored(6), NAMES, 1)


  def changed(**fields):
    return Source('odd', shades(20), None, NAMES)._replace(**fields)


  SHADES = DataSource('shades', read, listing)
  MIXED_UP = DataSource('shades', read, read)


  def images_alone(place, config):
    return shades(20).images


  def floats(place, config):
    train = shades(20)
    return changed(train=Split(train.images / 255, train.labels))


  def ragged(place, config):
    return changed(train=Split([[1], [2, 3]], [0, 1]))


  def texts(place, config):
    return changed(train=Split(shades(20).images, ['dark', 'light'] * 10))


  def numbered(place, config):
    return changed(class_names=(0, 1))


  def telling(place, config):
    return changed(notes=('7 shades left out',))


  def from_one(place, config):
    return changed(test=Split(shades(6).images, shades(6).labels + 1))


  def missing(place, config):
    return open('shades.bin')


  def of_a_place(place):
    return changed()
"""


@pytest.fixture
def own(tmp_path):
  """The path of a user's file with sources."""
  (tmp_path / 'my_data.py').write_text(textwrap.dedent(OWN))
  return str(tmp_path / 'my_data.py')


@pytest.fixture
def fields(request, kind):
  """What a config says to read a data set of each kind; see GIVEN_TESTS."""
  if kind == 'digits':
    return {'source': 'digits'}
  if kind == 'folder':
    return {'source': str(request.getfixturevalue('folder'))}
  if kind == 'npz':
    images, labels = pictures(20, 0)
    write = request.getfixturevalue('npz')
    return {'source': write(images=images, labels=labels)}
  if kind == 'tfds':
    splits = {'train': pictures(20, 0), 'test': pictures(6, 1)}
    return request.getfixturevalue('prepare')(splits)
  return {'source': f'{request.getfixturevalue("own")}:{kind}'}


KINDS = [*SOURCES, 'read', 'SHADES']  # of the package, and in the user's file
GIVEN_TESTS = {'tfds': 6, 'read': 6, 'SHADES': 6}  # images; others cut theirs


@pytest.mark.parametrize('kind', KINDS)
def test_every_source_reads_as_the_record_says(fields, kind):
  config = DataConfig(**fields)
  source, place = find_source(config.source)
  name, train, test, class_names, _ = source.read(place, config)
  assert name
  assert (test is None) == (kind not in GIVEN_TESTS)
  for split in (train, test or train):
    assert split.images.dtype == np.uint8
    assert split.images.ndim == 4
    assert split.labels.shape == split.images.shape[:1]
    assert split.labels.dtype.kind in 'iu'
    assert set(split.labels) == set(range(len(class_names)))
  assert all(isinstance(each, str) for each in class_names)
  again = source.read(place, config)
  assert_same(again.train, train)
  assert again.class_names == class_names


@pytest.mark.parametrize('kind', KINDS)
def test_every_source_makes_a_data_set_as_the_config_says(fields, kind):
  whole = load(**fields)
  classes, tests = whole.num_classes, GIVEN_TESTS.get(kind)
  total = 1797 if kind == 'digits' else 20 + (tests or 0)
  assert whole.num_train + whole.num_test == total
  assert whole.num_test == (tests or round(0.2 * total))
  size, _, channels = whole.image_shape
  for split in (whole.train, whole.test):
    assert split.images.dtype == np.uint8
    assert split.images.shape[1:] == (size, size, channels)
    assert split.labels.dtype == np.int32
    assert set(split.labels) == set(range(classes))
  assert len(whole.mean) == len(whole.std) == channels
  pixels = whole.train.images.reshape(-1, channels) / 255
  np.testing.assert_allclose(whole.mean, pixels.mean(0), rtol=1e-9)
  np.testing.assert_allclose(whole.std, pixels.std(0), rtol=1e-9)
  again = load(**fields)
  assert_same(again.train, whole.train)
  assert_same(again.test, whole.test)

  limits = {'max_train': 2 * classes, 'max_test': classes, 'image_size': 5}
  part = load(**fields, **limits, std=(0.5,) * channels)
  assert part.image_shape == (5, 5, channels)
  assert list(np.bincount(part.train.labels)) == [2] * classes
  assert list(np.bincount(part.test.labels)) == [1] * classes
  assert part.std == (0.5,) * channels
  other = load(**fields, split_seed=1, max_train=2 * classes)
  one = load(**fields, max_train=2 * classes)
  assert other.train.images.tobytes() != one.train.images.tobytes()


@pytest.mark.parametrize('held_out', [0.0, 0.25])
@pytest.mark.parametrize('kind', ['folder', 'tfds'])
def test_a_part_is_that_of_the_whole(fields, kind, held_out, monkeypatch):
  config = DataConfig(**fields, max_train=6, max_test=4, held_out=held_out)
  source, place = find_source(config.source)
  whole = dataset.of_source(source.read(place, config), config)
  decoded, decode_one = [], decode.decode

  def decoding(image, *args, **given):
    decoded.append(image.what)
    return decode_one(image, *args, **given)

  monkeypatch.setattr(decode, 'decode', decoding)
  part = dataset.load(config)
  assert len(decoded) == 10
  assert part.fingerprint == whole.fingerprint
  assert_same(part.train, whole.train)
  assert_same(part.test, whole.test)


def test_what_an_own_source_says_is_passed_on(own):
  assert load(f'{own}:telling').notes == ('7 shades left out',)
  assert load(f'{own}:read').notes == ()
  config = DataConfig(source=f'{own}:SHADES', stream=True, image_size=6)
  opened = stream.open_stream(config, seed=0)
  assert opened.notes == ()
  assert opened.fingerprint == stream.open_stream(config, seed=1).fingerprint


@pytest.mark.parametrize('kind', ['folder', 'tfds', 'SHADES'])
def test_a_listing_stores_what_is_read(fields, kind):
  config = DataConfig(**fields, stream=True, image_size=8)
  source, place = find_source(config.source)
  listed = source.listing(place, config)
  assert isinstance(listed, EncodedSource)
  read = source.read(place, config)
  assert isinstance(read, Source)
  assert (listed.name, listed.class_names) == (read.name, read.class_names)
  opened = stream.open_stream(config, seed=0)
  want = load(**fields, image_size=8)
  assert (opened.num_train, opened.num_test) == (want.num_train, want.num_test)
  assert opened.image_shape == want.image_shape
  batches = list(opened.test_batches(2))
  images, labels = map(np.concatenate, zip(*batches))
  assert_same(Split(images, labels), want.test)


def test_workers_decode_images_of_a_type_that_only_a_users_file_has(own):
  def taken(workers):
    config = DataConfig(
      source=f'{own}:SHADES', stream=True, image_size=6, workers=workers
    )
    batches = stream.open_stream(config, seed=0).train_batches(5, 0)
    result = list(itertools.islice(batches, 6))
    batches.close()
    return result

  for one, other in zip(taken(0), taken(1), strict=True):
    assert_same(Split(*one), Split(*other))


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('NUMBER', r'a DataSource or a function read\(place, config\) .*, got int'),
    ('GONE', 'Expected GONE in .*my_data.py, as the data source .* is none'),
    (
      'images_alone',
      "data source '.*:images_alone' to give one Source, got",
    ),
    (
      'floats',
      r"uint8 images .* in 'odd' \(train\), got \(20, 6, 6, 1\) float",
    ),
    ('ragged', r"images of 'odd' \(train\) to be an array, got list: "),
    ('texts', r"integer labels \(n,\) in 'odd' \(train\), got \(20,\) <U5"),
    ('numbered', "class names of data set 'odd' as text in UTF-8, got 0"),
    ('from_one', r"labels in 0\.\.1 in 'odd' \(test\), .* got 1\.\.2"),
    (
      'missing',
      r'read the data source .*:missing: FileNotFoundError at line \d+: .*bin',
    ),
    ('of_a_place', r'source .*:of_a_place: TypeError: .* 1 pos.* 2 were given'),
  ],
)
def test_own_sources_that_do_not_suit(own, name, message):
  with pytest.raises(UserError, match=message) as caught:
    load(f'{own}:{name}')
  assert '\n' not in str(caught.value)


def test_own_sources_that_do_not_stream(own):
  def opened(name):
    stream.open_stream(
      DataConfig(source=f'{own}:{name}', stream=True, image_size=8), seed=0
    )

  with pytest.raises(UserError, match=r'with a listing; got .*my_data.py:read'):
    opened('read')
  with pytest.raises(DataError, match='to give one EncodedSource, got Source'):
    opened('MIXED_UP')
