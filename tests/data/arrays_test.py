"""Tests of arrays as a data set."""

import jax.numpy as jnp
import numpy as np
import pytest
from data_sets import assert_same, load, pictures

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data.dataset import of_arrays
from opp_darts_jax.errors import DataError, UserError

IMAGES, LABELS = pictures(20, 0)


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
    ({'labels': LABELS / 2}, r'labels to be \(n,\) .* \(20,\) float64'),
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
    ({'config': DataConfig(max_train=1)}, 'max_train .* classes, 2, got 1'),
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
