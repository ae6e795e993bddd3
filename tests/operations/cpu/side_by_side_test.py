"""Tests of images that lie side by side in the channels of one."""

import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax.operations.cpu import side_by_side


@pytest.mark.parametrize(
  ('batch', 'channels', 'itemsize', 'images'),
  [
    (64, 4, 4, 4),
    (64, 8, 4, 2),
    (64, 16, 4, 1),
    (64, 3, 4, 4),
    (6, 2, 4, 2),  # Of its divisors 4 is none.
    (25, 4, 4, 1),
    (64, 4, 8, 2),
  ],
)
def test_as_many_as_fill_a_vector(batch, channels, itemsize, images):
  assert side_by_side.fitting(batch, channels, itemsize) == images


def test_neighbours_share_a_vector_and_are_taken_apart():
  x = jnp.arange(2 * 4 * 3 * 5 * 2).reshape(2, 4, 3, 5, 2)
  put = side_by_side.put(x, 2)
  assert put.shape == (2, 2, 3, 5, 4)
  np.testing.assert_array_equal(
    put[1, 1, 2, 4], [*x[1, 2, 2, 4], *x[1, 3, 2, 4]]
  )
  np.testing.assert_array_equal(side_by_side.take(put, 2), x)
  assert side_by_side.put(x, 1) is x
