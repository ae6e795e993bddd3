"""Tests of arrays as a data set."""

import jax.numpy as jnp
import numpy as np
import pytest
from data_sets import assert_same, load, pictures
from hypothesis import given
from hypothesis import strategies as st

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data.dataset import of_arrays
from opp_darts_jax.errors import DataError, UserError

IMAGES, LABELS = pictures(20, 0)
PLANES = np.zeros((20, 5, 8, 8), np.uint8)


@pytest.mark.parametrize('with_test', [False, True])
@pytest.mark.parametrize(
  ('images', 'labels'),
  [
    (IMAGES, LABELS),
    (IMAGES[..., 0].astype(int), LABELS[:, None]),
    (np.random.default_rng(0).random((20, 4, 4)), np.array(['b', 'a'] * 10)),
    (IMAGES, np.array([b'9', b'10'] * 10)),
    (IMAGES, LABELS == 1),
  ],
)
def test_arrays_are_read_as_those_of_a_file(npz, images, labels, with_test):
  test = (images[:6], labels[:6]) if with_test else None
  fields = {'max_train': 10, 'max_test': 4, 'image_size': 5, 'split_seed': 3}
  own = of_arrays(images, labels, DataConfig(**fields), test, name='own')
  file = {'images': images, 'labels': labels}
  if test:
    file |= {'test_images': test[0], 'test_labels': test[1]}
  want = load(npz(**file), **fields)
  assert own.name == want.name == 'own'
  assert own.class_names == want.class_names
  assert (own.mean, own.std) == (want.mean, want.std)
  assert_same(own.train, want.train)
  assert_same(own.test, want.test)
  assert (own.num_train, own.num_test) == (10, 4)


def test_arrays_may_be_lists_or_of_jax_and_are_copied():
  images = IMAGES.copy()
  own = of_arrays(images, LABELS, test=[images, LABELS])
  images[:] = 0
  np.testing.assert_array_equal(own.train.images, IMAGES)
  np.testing.assert_array_equal(own.train.labels, LABELS)
  assert (own.name, own.class_names) == ('arrays', ('0', '1'))
  for others in (
    (IMAGES.tolist(), LABELS.tolist()),
    (jnp.asarray(IMAGES), jnp.asarray(LABELS)),
  ):
    assert_same(of_arrays(*others, test=others).train, own.train)


def test_class_names_name_labels_also_those_that_do_not_occur():
  labels = np.array([3, 1] * 10)
  own = of_arrays(IMAGES, labels, class_names=['a', 'b', 'c', 'd'])
  assert own.class_names == ('a', 'b', 'c', 'd')
  assert own.num_classes == 4
  assert set(own.train.labels) == {1, 3}
  assert own.train.labels.dtype == np.int32
  other = of_arrays(IMAGES, labels)
  assert other.class_names == ('1', '3')
  np.testing.assert_array_equal(other.train.labels, own.train.labels // 2)
  tested = of_arrays(
    IMAGES,
    labels,
    test=(IMAGES[:2], [0, 2]),
    class_names=np.array(list('abcd')),
  )
  np.testing.assert_array_equal(tested.test.labels, [0, 2])


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'images': IMAGES[0, 0]}, r'images to be \(n, H, W\) or .* got \(4, 3\)'),
    ({'images': IMAGES[:, :3]}, "in 'arrays' .* got 3 high and 4 wide"),
    ({'images': [[1], [2, 3]]}, 'images to be an array, got list: '),
    ({'images': IMAGES > 7}, 'integers 0..255 or floats 0..1, got bool'),
    ({'images': IMAGES * 2.0}, r'images of type float64 to lie in 0\.\.1, got'),
    ({'images': IMAGES - 300.0}, r'to lie in 0\.\.1, got -'),
    ({'images': IMAGES.astype(int) + 9}, r'int64 to lie in 0\.\.255, got'),
    ({'images': IMAGES[:0], 'labels': LABELS[:0]}, 'classes .* got 0: none'),
    ({'labels': LABELS[:9]}, "'arrays' .train., got 20 images and 9 labels"),
    ({'labels': LABELS * 0}, "2 classes in data set 'arrays', got 1: 0"),
    ({'labels': LABELS / 2}, r'\(n,\) .* \(20,\) float64, such as .*0\.5'),
    ({'labels': [0, np.nan] * 10}, r'labels to be \(n,\) .* such as .*nan'),
    ({'labels': [0, np.inf] * 10}, r'labels to be \(n,\) .* such as .*inf'),
    ({'labels': ['a', None] * 10}, r'\(20,\) object, such as None'),
    ({'labels': [b'a', b'\xe9'] * 10}, r"bytes to be UTF-8, got b'\\xe9'"),
    ({'labels': ['a', '\udce9'] * 10}, r"text in UTF-8, got '\\udce9'"),
    ({'images': PLANES}, r'got \(20, 5, 8, 8\), in which channels seem to com'),
    ({'images': PLANES[:, :4].transpose(0, 2, 3, 1)}, r'images\[\.\.\., :3\]'),
    ({'labels': np.eye(20, dtype=int)}, r'labels to be \(n,\) .* \(20, 20\)'),
    ({'test': IMAGES}, r'test to be a pair \(images, labels\), got ndarray'),
    ({'test': (IMAGES,)}, r'test to be a pair \(images, labels\), got tuple'),
    ({'test': (IMAGES, LABELS[:9])}, r"'arrays' \(test\), got 20 images and 9"),
    ({'test': (IMAGES[0], LABELS)}, r'\(test\), got 4 images and 20'),
    ({'test': (IMAGES, LABELS + 1)}, 'test labels to occur in labels, got 2'),
    ({'test': (IMAGES, ['0', '1'] * 10)}, "to occur in labels, got '0'"),
    ({'test': (IMAGES / 255.0 + 1, LABELS)}, 'test images of type float64 to'),
    ({'class_names': 'ab', 'labels': LABELS + 1}, r'in 0\.\.1, one .* got 2'),
    ({'class_names': 'ab', 'labels': LABELS - 1}, r'in 0\.\.1, one .* got -1'),
    ({'class_names': 'ab', 'labels': ['a', 'b'] * 10}, "class_names, got 'a'"),
    ({'class_names': 'a', 'labels': LABELS * 0}, 'at least 2 classes .* 1: a'),
    ({'config': DataConfig(max_train=1)}, 'max_train .* least 2, .* got 1'),
    ({'config': DataConfig(mean=(0.5,))}, 'mean to be empty .* 3 channels'),
  ],
)  # fmt: skip
def test_arrays_that_do_not_suit(change, message):
  with pytest.raises(UserError, match=message) as caught:
    of_arrays(**{'images': IMAGES, 'labels': LABELS, **change})
  assert '\n' not in str(caught.value)


def test_arrays_are_not_streamed():
  with pytest.raises(UserError, match='data.stream to be False, as arrays are'):
    of_arrays(IMAGES, LABELS, DataConfig(stream=True, image_size=4))


def test_wrong_arrays_are_errors_of_data():
  with pytest.raises(DataError):
    of_arrays(IMAGES, LABELS[:9])


def texts(values):
  return [f'é {value}' for value in values]


FORMS = {  # of labels, and what a value is called then
  'ints': (np.asarray, '{}'),
  'small ints': (lambda v: np.array(v, np.int16), '{}'),
  'column': (lambda v: np.array(v)[:, None], '{}'),
  'floats': (lambda v: np.array(v, float), '{}'),
  'object ints': (lambda v: np.array(v, object), '{}'),
  'list': (list, '{}'),
  'text': (lambda v: np.array(texts(v)), 'é {}'),
  'decomposed': (lambda v: [f'e\u0301 {k}' for k in v], 'é {}'),
  'bytes': (lambda v: [text.encode() for text in texts(v)], 'é {}'),
  'object text': (lambda v: np.array(texts(v), object), 'é {}'),
  'numpy text': (
    lambda v: np.array(texts(v), np.dtypes.StringDType()), 'é {}'
  ),
}  # fmt: skip


@given(
  values=st.lists(st.integers(-5, 9), min_size=4, max_size=12).filter(
    lambda values: len(set(values)) > 1
  ),
  form=st.sampled_from(sorted(FORMS)),
  test_form=st.sampled_from(sorted(FORMS)),
)
def test_labels_of_any_form_keep_their_classes(values, form, test_form):
  images = np.resize(IMAGES, (len(values), 4, 4, 3))
  make, called = FORMS[form]
  if FORMS[test_form][1] != called:
    test_form = form  # Text is no number.
  test = (images, FORMS[test_form][0](values))
  own = of_arrays(images, make(values), test=test)
  assert sorted(own.class_names) == sorted({called.format(v) for v in values})
  for split in (own.train, own.test):
    names = [own.class_names[label] for label in split.labels]
    assert names == [called.format(value) for value in values]
  assert own.notes == ()


@given(
  channels=st.sampled_from([1, 2, 3, 5, 16]),
  size=st.integers(4, 20),
  resized=st.sampled_from([0, 8]),
)
def test_channels_come_last_and_not_first(channels, size, resized):
  config = DataConfig(image_size=resized)
  rng = np.random.default_rng(0)
  last = rng.integers(2, 256, (4, size, size, channels), np.uint8)
  labels = [0, 1, 0, 1]
  if size not in (1, 3, 4):
    own = of_arrays(last, labels, config, test=(last, labels))
    assert own.image_shape[-1] == channels
  first = last.transpose(0, 3, 1, 2)
  if size in (channels, 4):
    return  # Nothing tells, or what is last may be alpha, which is refused.
  with pytest.raises(DataError, match='channels seem to come first; .*3, 1'):
    of_arrays(first, labels, config)


def test_pixels_that_are_nearly_black_are_told():
  cast = (IMAGES > 99).astype(np.uint8)
  assert of_arrays(cast, LABELS).notes == (
    'pixels are in 0..1 of 0..255: were floats cast?',
  )
  assert of_arrays(cast * 0, LABELS).notes == ('pixels are all 0',)
  assert of_arrays(cast * 1.0, LABELS).notes == ()


def test_classes_and_sizes_are_told():
  own = of_arrays(
    IMAGES,
    LABELS,
    DataConfig(image_size=6),
    test=(IMAGES[:1], LABELS[:1]),
    class_names=list('abcdefghij'),
  )
  assert own.notes == (
    '20 images resized from 4x4 to 6x6',
    '1 image resized from 4x4 to 6x6',
    '8 classes without training images: c, d, e, f, g and 3 more',
    '9 classes without test images: b, c, d, e, f and 4 more',
  )
