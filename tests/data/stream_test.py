"""Tests of the streams, on pieces of two photographs."""

import itertools
import multiprocessing
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import dataset, decode, stream
from opp_darts_jax.errors import DataError, UserError

SIZE = 16


def save_pieces(folder, count, seed):
  """Pieces of different sizes, alternately as JPEG and PNG, by class."""
  rng = np.random.default_rng(seed)
  photographs = load_sample_images().images
  for name, pixels in zip(('china', 'flower'), photographs):
    (folder / name).mkdir(parents=True)
    for i in range(count):
      height, width = rng.integers(20, 90, 2)
      top = rng.integers(pixels.shape[0] - height)
      left = rng.integers(pixels.shape[1] - width)
      piece = Image.fromarray(pixels[top : top + height, left : left + width])
      piece.save(folder / name / f'{i}.{("jpg", "png")[i % 2]}')


@pytest.fixture
def folder(tmp_path):
  """22 images to train on and 10 to test on."""
  save_pieces(tmp_path / 'train', 11, seed=0)
  save_pieces(tmp_path / 'test', 5, seed=1)
  return tmp_path


def config_of(folder, **fields):
  return DataConfig(
    **{'source': str(folder), 'stream': True, 'image_size': SIZE, **fields}
  )


def opened(folder, seed=0, **fields):
  return stream.open_stream(config_of(folder, **fields), seed)


def taken(stream, batch_size, start, count):
  batches = stream.train_batches(batch_size, start)
  result = list(itertools.islice(batches, count))
  batches.close()
  return result


def assert_same(ours, theirs):
  assert len(ours) == len(theirs)
  for one, other in zip(ours, theirs):
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


def by_content(batches):
  images, labels = map(np.concatenate, zip(*batches))
  return [(image.tobytes(), int(k)) for image, k in zip(images, labels)]


def test_what_a_stream_says_of_itself(folder):
  stream = opened(folder)
  assert (stream.name, stream.class_names) == (folder.name, ('china', 'flower'))
  assert stream.image_shape == (SIZE, SIZE, 3)
  assert (stream.num_train, stream.num_test, stream.num_classes) == (22, 10, 2)
  assert opened(folder, max_train=8, max_test=4).num_train == 8
  assert opened(folder, mean=(0.1,) * 3, std=(0.2,) * 3).std == (0.2,) * 3
  # Few enough images to measure all of them.
  whole = dataset.load(config_of(folder))
  np.testing.assert_allclose(stream.mean, whole.mean, rtol=1e-12)
  np.testing.assert_allclose(stream.std, whole.std, rtol=1e-12)


def test_what_few_images_tell_is_said_of_them(folder, monkeypatch):
  assert opened(folder).notes == (
    '22 images resized from 22 sizes to 16x16',
  )  # fmt: skip
  monkeypatch.setattr(stream, '_MEASURED', 4)
  assert opened(folder).notes == (
    'of 4 images looked at, 4 images resized from 4 sizes to 16x16',
  )


@pytest.mark.parametrize('crop', ['pad', 'resized'])
def test_a_stream_goes_on_after_any_batch_to_the_bit(folder, crop):
  whole = taken(opened(folder, crop=crop), 4, 0, 12)  # 5 batches an epoch
  for images, labels in whole:
    assert (images.shape, images.dtype) == ((4, SIZE, SIZE, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((4,), np.int32)
  for start in (1, 4, 5, 11):
    rest = taken(opened(folder, crop=crop), 4, start, 12 - start)
    assert_same(rest, whole[start:])
  other = taken(opened(folder, seed=1, crop=crop), 4, 0, 1)
  assert by_content(other) != by_content(whole[:1])


def test_workers_change_no_number_and_one_that_ends_is_told(folder):
  alone, by_two = (opened(folder, crop='resized', workers=n) for n in (0, 2))
  batches = by_two.train_batches(4, 3)
  assert_same(list(itertools.islice(batches, 6)), taken(alone, 4, 3, 6))
  for process in multiprocessing.active_children():
    process.kill()
  with pytest.raises(UserError, match=r'decodes images ended .* --config.data'):
    list(itertools.islice(batches, 1000))


def test_an_epoch_has_each_image_once_in_an_order_of_its_own(folder):
  want = dataset.load(config_of(folder)).train
  stored = by_content([(want.images, want.labels)])
  epochs = [
    by_content(taken(opened(folder), 11, 2 * epoch, 2)) for epoch in range(3)
  ]
  for epoch in epochs:
    assert sorted(epoch) == sorted(stored)
  assert epochs[0] != epochs[1] != epochs[2] != stored


def test_images_that_fill_no_batch_are_left_out_and_others_next_time(folder):
  batches = taken(opened(folder), 5, 0, 8)  # 4 batches an epoch
  first, second = by_content(batches[:4]), by_content(batches[4:])
  assert len(set(first)) == len(set(second)) == 20
  assert set(first) != set(second)


def test_test_images_come_in_order_and_fill_up_the_last_batch(folder):
  stream, want = opened(folder), dataset.load(config_of(folder)).test
  parts = list(stream.test_batches(4))
  assert [len(labels) for _, labels in parts] == [4, 4, 4]
  images, labels = map(np.concatenate, zip(*parts))
  rows = [*range(10), 0, 1]
  assert_same([(images, labels)], [(want.images[rows], want.labels[rows])])


def test_processes_read_their_rows_of_the_same_batches(folder):
  stream, shares = opened(folder, crop='resized'), ([0, 2], [1, 3])

  def joined(batches):
    whole = []
    for parts in zip(*batches):
      images, labels = (np.stack(part, 1) for part in zip(*parts))
      whole.append((images.reshape(4, *images.shape[2:]), labels.ravel()))
    return whole

  whole = taken(stream, 4, 3, 6)
  own = [
    list(itertools.islice(stream.train_batches(4, 3, rows), 6))
    for rows in shares
  ]
  assert_same(joined(own), whole)
  own = [list(stream.test_batches(4, rows)) for rows in shares]
  assert_same(joined(own), list(stream.test_batches(4)))


def test_without_test_folder_the_split_is_that_of_load(folder):
  stream = opened(folder / 'train')
  want = dataset.load(config_of(folder / 'train'))
  assert (stream.num_train, stream.num_test) == (18, 4)
  for batch, split in (
    (next(stream.train_batches(18, 0)), want.train),
    (next(stream.test_batches(4)), want.test),
  ):
    assert sorted(by_content([batch])) == sorted(by_content([split]))


@pytest.mark.parametrize('own_test', [True, False])
def test_images_held_out_are_training_images_and_no_test_image_is_read(
  folder, own_test
):
  source = folder if own_test else folder / 'train'
  stream = opened(source, held_out=0.25)
  own = dataset.load(config_of(source, held_out=0.25))
  assert stream.tested_on == own.tested_on == 'training images held out'
  assert dataset.load(config_of(source)).tested_on == 'test images'
  usual = dataset.load(config_of(source))
  kept, held, train, test = (
    by_content([split])
    for split in (
      own.train,
      own.test,
      usual.train,
      usual.test,
    )
  )
  assert sorted(kept + held) == sorted(train)
  assert not set(held) & set(test)
  # A quarter of each class, to one image.
  assert abs(Counter(k for _, k in held)[0] - len(train) / 8) < 1
  note = (
    f'tested on {len(held)} training images held out (data.held_out), not on '
    'the test images'
  )
  assert note in own.notes
  assert note in stream.notes
  assert sorted(by_content(stream.test_batches(1))) == sorted(held)
  batch = next(stream.train_batches(len(kept), 0))
  assert sorted(by_content([batch])) == sorted(kept)


def test_test_images_of_crop_resized_are_centres(folder):
  (images, _), *_ = opened(folder, crop='resized').test_batches(2)
  first = Image.open(folder / 'test' / 'china' / '0.jpg').convert('RGB')
  # In two steps, as usually told; ours rounds no size in between.
  scale = SIZE / 0.875 / min(first.size)
  whole = first.resize([round(scale * n) for n in first.size], Image.BILINEAR)
  left, top = ((n - SIZE) // 2 for n in whole.size)
  want = np.asarray(whole.crop((left, top, left + SIZE, top + SIZE)))
  assert np.abs(images[0].astype(float) - want).mean() < 8
  squeezed = np.asarray(first.resize((SIZE, SIZE), Image.BILINEAR))
  assert np.abs(images[0].astype(float) - squeezed).mean() > 8


def test_crops_of_an_image_differ_and_are_parts_of_it(tmp_path):
  ramp = np.repeat(np.arange(0, 240, 4, dtype=np.uint8)[None], 40, 0)
  for name in 'ab':
    (tmp_path / name).mkdir()
    for i in range(2):
      Image.fromarray(ramp).save(tmp_path / name / f'{i}.png')
  stream = opened(tmp_path, crop='resized', test_fraction=0.5)
  assert stream.image_shape == (SIZE, SIZE, 1)  # Grey files stay grey.
  rows = [
    row
    for images, _ in taken(stream, 2, 0, 40)
    for row in images[:, 0, :, 0].astype(int)
  ]
  spans = np.array([row[-1] - row[0] for row in rows])
  assert all((np.diff(row) >= 0).all() for row in rows)
  assert len({tuple(row) for row in rows}) == 80
  assert spans.min() < 90
  assert 190 < spans.max() <= 236


@pytest.mark.parametrize(
  ('damage', 'workers'), [('gone', 0), ('cut', 0), ('cut', 1)]
)
def test_an_image_that_vanishes_or_breaks_is_named(folder, damage, workers):
  stream = opened(folder, workers=workers)
  path = folder / 'train' / 'china' / '0.jpg'
  if damage == 'gone':
    path.unlink()
  else:
    path.write_bytes(path.read_bytes()[:-200])
  with pytest.raises(DataError, match=r'can be read, got .*0\.jpg: ') as caught:
    list(itertools.islice(stream.train_batches(11, 0), 2))
  assert '\n' not in str(caught.value)


def test_sixteen_bit_images_are_refused(folder):
  stream = opened(folder)
  path = folder / 'train' / 'china' / '0.jpg'
  Image.fromarray(np.zeros((40, 40), np.uint16)).save(path, 'PNG')
  with pytest.raises(DataError, match=r'8 bits .*0\.jpg in mode I;16'):
    list(itertools.islice(stream.train_batches(11, 0), 2))


@pytest.mark.parametrize('source', ['digits', 'own.npz', 'npz:own'])
def test_sources_that_memory_holds_are_refused(source):
  with pytest.raises(UserError, match=f'got data.source={source!r}, which mem'):
    opened(source)


def test_folders_that_do_not_suit(tmp_path):
  with pytest.raises(DataError, match='which is not a folder'):
    opened(f'folder:{tmp_path / "gone"}')
  save_pieces(tmp_path, 2, seed=0)
  (tmp_path / 'flower').rename(tmp_path / '.flower')
  with pytest.raises(DataError, match='at least 2 classes .* got 1: china'):
    opened(tmp_path)


def test_random_boxes_are_as_usual_but_clipped():
  uniforms = np.random.default_rng(0).random((4000, 4))
  height, width = 300, 400
  boxes = [decode.random_box(u, height, width) for u in uniforms]
  top, left, own_height, own_width = np.array(boxes).T
  assert (top >= 0).all()
  assert (left >= 0).all()
  assert (top + own_height).max() <= height + 1e-9
  assert (left + own_width).max() <= width + 1e-9
  share = own_height * own_width / (height * width)
  whole = (own_height < height) & (own_width < width)
  assert 0.6 < whole.mean() < 0.95
  np.testing.assert_allclose(
    share[whole], 0.08 + 0.92 * uniforms[whole, 0], rtol=1e-9
  )
  aspect = np.log(own_width / own_height)[whole] / np.log(4 / 3)
  np.testing.assert_allclose(aspect, 2 * uniforms[whole, 1] - 1, atol=1e-9)
  assert share.min() >= 0.08 * (1 - 1e-9)
  np.testing.assert_allclose(top, uniforms[:, 2] * (height - own_height))
  np.testing.assert_allclose(left, uniforms[:, 3] * (width - own_width))
