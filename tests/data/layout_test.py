"""Tests of how folders may be laid out, and of what is said of the rest."""

import os
import pathlib
import tempfile
import unicodedata

import numpy as np
import pytest
from data_sets import colour, exif_of, load, save
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import folder, layout, stream
from opp_darts_jax.errors import DataError, UserError

NFC, NFD = 'caf\u00e9', 'cafe\u0301'
SUFFIXES = ('.png', '.PNG', '.jpg', '.JPG', '.jpeg', '.jfif', '.JPE', '.gif')
BARE = ('', '.dat', '.20240131')  # of files that only their content tells


def save_as(path, level, size=(4, 4)):
  """Saves an image under a name from which Pillow tells no format."""
  path.parent.mkdir(parents=True, exist_ok=True)
  known = path.suffix in Image.registered_extensions()
  with open(path, 'wb') as file:
    kind = {'.gif': 'GIF', '.png': 'PNG'}.get(path.suffix.lower(), 'JPEG')
    Image.fromarray(colour(level, size)).save(file, kind if known else 'PNG')


def levels(split):
  return sorted(split.images[:, 0, 0, 0].tolist())


def cased(words):
  """One of these words, each letter in any case."""
  return st.sampled_from(words).flatmap(
    lambda word: st.tuples(
      *(st.sampled_from([c.lower(), c.upper()]) for c in word)
    ).map(''.join)
  )


@st.composite
def trees(draw):
  """Paths of images below a class folder, and how the splits are called."""
  depth = st.lists(st.sampled_from('xyz'), max_size=3).map('/'.join)
  names = draw(
    st.lists(
      st.tuples(depth, st.sampled_from(SUFFIXES + BARE)),
      min_size=2, max_size=6, unique=True,
    )
  )  # fmt: skip
  return (
    [f'{inside}/{i}{suffix}' for i, (inside, suffix) in enumerate(names)],
    draw(cased(layout.TRAIN)),
    draw(st.none() | cased(layout.TEST)),
  )


@settings(max_examples=20)
@given(trees())
def test_every_image_is_found_at_any_depth_by_any_name(tree):
  files, train, test = tree
  with tempfile.TemporaryDirectory() as place:
    root = pathlib.Path(place)
    for split, base in ((train, 0), (test, 100)):
      for k, name in enumerate(('cat', 'dog')) if split else ():
        for i, file in enumerate(files):
          path = root / split / name / file.lstrip('/')
          save_as(path, base + 50 * k + 5 * i)
          (path.parent / 'notes.txt').write_text('no image')
          (path.parent / '.hidden.png').write_text('no image')
    own = load(root, test_fraction=0.5)
    count = len(files)
    expected = [50 * k + 5 * i for k in range(2) for i in range(count)]
    if test:
      np.testing.assert_allclose(levels(own.train), expected, atol=2)
      tested = [100 + level for level in expected]
      np.testing.assert_allclose(levels(own.test), tested, atol=2)
    else:
      both = levels(own.train) + levels(own.test)
      np.testing.assert_allclose(sorted(both), expected, atol=2)
    for split in (own.train, own.test):
      class_of = split.images[:, 0, 0, 0] % 100 >= 48
      np.testing.assert_array_equal(split.labels, class_of)
    texts = len({os.path.dirname(file) for file in files}) * (4 if test else 2)
    kinds = f'{texts} files skipped: .txt {texts}'
    assert own.notes[-1] == kinds


def test_classes_without_test_images_are_said(tmp_path):
  for name in ('cat', 'dog'):
    for i in range(3):
      save(tmp_path / name / f'{i}.png', colour(9 + i))
  fields = {'source': str(tmp_path), 'image_size': 4}
  config = DataConfig(**fields, stream=True)
  for own in (load(**fields), stream.open_stream(config, seed=0)):
    assert own.notes == ('1 class without test images: dog',)


def test_files_that_are_no_images_are_counted_by_suffix(tmp_path):
  for name in ('cat', 'dog'):
    for i in range(3):
      save(tmp_path / name / f'{i}.png', colour(9 + i))
  for i in range(3):
    (tmp_path / 'cat' / f'{i}.TXT').write_text('no image')
  (tmp_path / 'dog' / 'film.webm').write_bytes(b'\x1a\x45\xdf\xa3')
  (tmp_path / 'dog' / 'film.mpg').write_bytes(b'\0\0\1\xb3' + bytes(20))
  (tmp_path / 'dog' / 'README').write_text('no image')
  (tmp_path / 'dog' / 'arrays.h5').write_bytes(b'\x89HDF\r\n\x1a\n')
  (tmp_path / 'dog' / '.DS_Store').write_bytes(b'hidden')
  (tmp_path / 'dog' / 'Thumbs.db').write_bytes(b'clutter')
  os.mkfifo(tmp_path / 'dog' / 'pipe')
  (tmp_path / '__MACOSX' / 'cat').mkdir(parents=True)
  save(tmp_path / 'stray.png', colour(0))
  fields = {'source': str(tmp_path), 'image_size': 4, 'test_fraction': 0.5}
  config = DataConfig(**fields, stream=True)
  for own in (load(**fields), stream.open_stream(config, seed=0)):
    assert own.class_names == ('cat', 'dog')
    assert own.num_train + own.num_test == 6
    assert own.notes == (
      f'1 image beside the class folders of {tmp_path.name} not used',
      '8 files skipped: .txt 3, without suffix 2, .h5 1, .mpg 1, .webm 1',
    )


@pytest.mark.parametrize('name', ['x.JFIF', 'x.bmp'])
def test_an_empty_file_with_the_suffix_of_an_image_is_an_error(tmp_path, name):
  for each in ('cat', 'dog'):
    save(tmp_path / each / '0.png', colour(0))
  (tmp_path / 'dog' / name).write_bytes(b'')
  with pytest.raises(DataError, match=f'can be read, got .*dog/{name}'):
    load(tmp_path, test_fraction=0.5)


def test_links_are_followed_once_and_never_out_of_the_class(tmp_path):
  for k, name in enumerate(('cat', 'dog')):
    for i in range(2):
      save(tmp_path / 'set' / name / 'more' / f'{i}.png', colour(50 * k + i))
  cat = tmp_path / 'set' / 'cat'
  (cat / 'up').symlink_to(tmp_path / 'set')
  (cat / 'more' / 'self').symlink_to(cat)
  (cat / 'again').symlink_to(cat / 'more')
  save(tmp_path / 'elsewhere' / '2.png', colour(2))
  (cat / 'else').symlink_to(tmp_path / 'elsewhere')
  (cat / 'file.png').symlink_to(tmp_path / 'elsewhere' / '2.png')
  files = folder.listing(str(tmp_path / 'set'), DataConfig()).train
  found = [os.fsdecode(name) for name in files.names]
  assert found == [
    'cat/again/0.png', 'cat/again/1.png', 'cat/else/2.png', 'cat/file.png',
    'dog/more/0.png', 'dog/more/1.png',
  ]  # fmt: skip
  np.testing.assert_array_equal(files.labels, [0, 0, 0, 0, 1, 1])


def splits(root, *names, classes=('cat', 'dog')):
  for name in names:
    for k, each in enumerate(classes):
      save(root / name / each / '0.png', colour(9 + k))
      save(root / name / each / '1.png', colour(9 + k))


def test_test_goes_before_val_and_what_is_not_used_is_said(tmp_path):
  splits(tmp_path, 'TRAIN', 'val', 'unlabelled')
  save(tmp_path / 'Test' / 'cat' / '0.png', colour(77))
  own = load(tmp_path)
  assert levels(own.test) == [77]
  assert own.notes == (
    'not used beside train and test: unlabelled, val',
    '1 class without test images: dog',
  )


def test_a_test_folder_without_classes_gives_way_to_one_with(tmp_path):
  splits(tmp_path, 'train', 'valid')
  save(tmp_path / 'test' / '0.png', colour(0))  # of no known class
  own = load(tmp_path)
  assert own.num_test == 4
  assert own.notes == ('not used beside train and test: test',)


@pytest.mark.parametrize(
  ('names', 'message'),
  [
    (['test'], 'folder train beside test in .*, got none: .* are test'),
    (['Val', 'test'], 'folder train beside test in .* are Val, test'),
    (['test', 'trainset'], 'folder train beside test .* are test, trainset'),
    (['train', 'extra'], r'beside train .* \(test, .*\), got extra; name'),
    (['train', 'Training', 'test'], 'one folder to train .*, got train, Tra'),
    (['train', 'test', 'TEST'], 'one folder to test .*, got TEST, test'),
  ],
)  # fmt: skip
def test_splits_that_are_unclear(tmp_path, names, message):
  splits(tmp_path, *names)
  with pytest.raises(DataError, match=message) as caught:
    load(tmp_path)
  assert '\n' not in str(caught.value)


def test_train_and_test_without_class_folders_are_no_classes(tmp_path):
  for name in ('train', 'test'):
    for i in range(5):
      save(tmp_path / name / f'{i}.png', colour(i))
  with pytest.raises(DataError, match='Expected class folders in .* train'):
    load(tmp_path)


def test_class_names_are_compared_in_nfc(tmp_path):
  splits(tmp_path, 'train', classes=(NFC, 'zebra'))
  splits(tmp_path, 'test', classes=(NFD, 'zebra'))
  own = load(tmp_path)
  assert own.class_names == (NFC, 'zebra')
  np.testing.assert_array_equal(np.bincount(own.test.labels), [2, 2])
  # The order of classes is that of the names, not of how they are written.
  other = tmp_path / 'other'
  splits(other, '', classes=(NFD, 'caff'))
  assert load(other).class_names == ('caff', NFC)
  (other / NFC).mkdir()
  with pytest.raises(DataError, match=f"'{NFC}' twice, .*xcc.* and .*xc3"):
    load(other)
  assert unicodedata.normalize('NFD', NFC) == NFD


def test_a_class_folder_that_is_not_utf_8_is_refused_at_once(tmp_path):
  splits(tmp_path, '', classes=('dog', os.fsdecode(b'caf\xe9')))
  with pytest.raises(DataError, match=r"in UTF-8 .*, got b'caf\\xe9'") as error:
    load(tmp_path)
  str(error.value).encode()


def test_files_and_places_that_are_not_utf_8_are_read(tmp_path):
  root = tmp_path / os.fsdecode(b'set\xe9')
  splits(root, '')
  os.rename(root / 'cat' / '0.png', root / 'cat' / os.fsdecode(b'\xe9.png'))
  (root / 'cat' / os.fsdecode(b'a.\xe9')).write_text('no image')
  own = load(root, test_fraction=0.5)
  assert (own.name, own.num_train) == (r'set\xe9', 2)
  assert own.notes == (r'1 file skipped: .\xe9 1',)
  (root / 'cat' / os.fsdecode(b'\xe9.png')).write_bytes(b'')
  with pytest.raises(
    DataError, match=r'can be read, got .*\\xe9\.png'
  ) as error:
    load(root, test_fraction=0.5)
  str(error.value).encode()


def test_a_folder_that_cannot_be_listed_is_told(tmp_path, monkeypatch):
  splits(tmp_path, '')
  (tmp_path / 'cat' / 'closed').mkdir()
  scandir = os.scandir

  def closed(path):
    if os.fspath(path).endswith('closed'):
      raise PermissionError(13, 'Permission denied', os.fspath(path))
    return scandir(path)

  monkeypatch.setattr(os, 'scandir', closed)
  with pytest.raises(UserError, match='can be listed, got .*cat/closed: '):
    load(tmp_path)


def test_photographs_stored_upside_down_are_upright(tmp_path):
  ramp = np.repeat(np.arange(0, 240, 30, dtype=np.uint8)[:, None], 8, 1)
  for name in ('cat', 'dog'):
    (tmp_path / name).mkdir()
    for i in range(4):
      image = Image.fromarray(ramp[::-1] if i % 2 else ramp)
      exif = exif_of(3 if i % 2 else 1)
      image.save(tmp_path / name / f'{i}.jpg', exif=exif)
  own = load(tmp_path)
  for split in (own.train, own.test):
    assert (np.diff(split.images[:, :, 0, 0].astype(int)) > 0).all()
  assert own.notes == ('4 images turned upright (EXIF orientation)',)
  config = DataConfig(source=str(tmp_path), stream=True, image_size=8)
  (images, _), *_ = stream.open_stream(config, seed=0).test_batches(2)
  assert (np.diff(images[:, :, 0, 0].astype(int)) > 0).all()
