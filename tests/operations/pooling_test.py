"""Tests of the pools, against plain loops in float64."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax.operations.pooling import avg_pool, max_pool

SHAPES = [(1, 2), (5, 6), (6, 5)]
close = functools.partial(chex.assert_trees_all_close, rtol=1e-5, atol=1e-5)


def windows(shape, stride):
  """(row and column of the output, pixels of its window in the image)."""
  height, width = shape
  for row in range((height - 1) // stride + 1):
    for column in range((width - 1) // stride + 1):
      yield (
        (row, column),
        [
          (i, j)
          for i in range(row * stride - 1, row * stride + 2)
          for j in range(column * stride - 1, column * stride + 2)
          if 0 <= i < height and 0 <= j < width
        ],
      )


def jacobian(x, stride, shares):
  """(B, H', W', H, W, C): what each pixel gives to each pooled one.

  Args:
    x: the images (B, H, W, C).
    stride: of the pool.
    shares: (pixels of a window (n, B, C)) -> the share of each, (n, B, C).
  """
  batch, height, width, channels = x.shape
  out = [(n - 1) // stride + 1 for n in (height, width)]
  table = np.zeros((batch, *out, height, width, channels))
  for (row, column), pixels in windows((height, width), stride):
    values = np.stack([x[:, i, j] for i, j in pixels])
    for (i, j), share in zip(pixels, shares(values)):
      table[:, row, column, i, j] = share
  return table


def mean_shares(values):
  return np.full(values.shape, 1 / len(values))


def first_largest(values):
  """One where a pixel is the first of the largest: argmax takes the first."""
  return np.arange(len(values))[:, None, None] == values.argmax(0)


def pool_and_gradient(pool, x, g, stride):
  @jax.jit
  def run(x, g):
    y, vjp = jax.vjp(lambda x: pool(x, stride), x)
    return y, *vjp(g)

  return run(x, g)


def expected(x, g, stride, shares):
  table = jacobian(x, stride, shares)
  return (
    np.einsum('bpqhwc,bhwc->bpqc', table, x),
    np.einsum('bpqhwc,bpqc->bhwc', table, g),
  )


def images_and_cotangent(shape, stride, values):
  """Negative images, so that padding with zeros would be the largest."""
  rng = np.random.default_rng(0)
  out = [(n - 1) // stride + 1 for n in shape]
  x = rng.permutation(np.arange(2 * 2 * np.prod(shape)) % values)
  x = x.reshape(2, *shape, 2) - values - 1.0
  return x.astype(np.float32), np.float32(rng.standard_normal((2, *out, 2)))


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('stride', [1, 2])
def test_average_does_not_count_the_padding(shape, stride):
  x, g = images_and_cotangent(shape, stride, 1000)
  got = pool_and_gradient(avg_pool, x, g, stride)
  chex.assert_trees_all_close(
    got, expected(x, g, stride, mean_shares), rtol=1e-5, atol=1e-3
  )


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('values', [1000, 2, 1], ids='{} values'.format)
def test_the_first_of_the_largest_takes_the_gradient(shape, stride, values):
  x, g = images_and_cotangent(shape, stride, values)
  got = pool_and_gradient(max_pool, x, g, stride)
  close(got, expected(x, g, stride, first_largest))


def test_pools_of_one_small_image():
  x = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
  both = jax.jit(lambda x: (avg_pool(x, 2), max_pool(x, 2)))
  average, largest = jax.device_get(both(x))
  close(average[0, ..., 0], np.array([[2.0, 3.0], [5.0, 6.0]]))
  close(largest[0, ..., 0], np.array([[4.0, 5.0], [7.0, 8.0]]))


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('values', [1000, 3], ids='{} values'.format)
def test_derivatives_of_a_gradient_of_max_pool(stride, values):
  x, _ = images_and_cotangent((4, 5), stride, values)
  x /= values
  along = np.cos(5 * x)

  @jax.jit
  def products(x, along):
    gradient = jax.grad(lambda x: jnp.sin(3 * max_pool(x, stride)).sum())
    return (
      jax.jvp(gradient, (x,), (along,))[1],
      *jax.vjp(gradient, x)[1](along),
    )

  table = jacobian(x, stride, first_largest)
  y = np.einsum('bpqhwc,bhwc->bpqc', table, x)
  y_dot = np.einsum('bpqhwc,bhwc->bpqc', table, along)
  want = np.einsum('bpqhwc,bpqc->bhwc', table, -9 * np.sin(3 * y) * y_dot)
  assert np.abs(want).max() > 1
  chex.assert_trees_all_close(
    products(x, along), (want, want), rtol=1e-4, atol=1e-4
  )


@pytest.mark.parametrize('pool', [avg_pool, max_pool])
def test_vmap_is_a_loop(pool):
  x, g = images_and_cotangent((5, 4), 2, 7)
  xs = np.stack([x, x[::-1], -x])
  mapped = jax.vmap(lambda x: pool_and_gradient(pool, x, g, 2))(xs)
  shares = mean_shares if pool is avg_pool else first_largest
  each = [expected(x, g, 2, shares) for x in xs]
  close(tuple(mapped), tuple(map(np.stack, zip(*each))))
