"""Lists of copies: what layouts_test.py does not see of their kernels."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax.operations.accelerator import fused, moments, pallas
from opp_darts_jax.operations.accelerator.copies import (
  AVG,
  BARE,
  CONV,
  MAX,
  Copies,
  Copy,
  Window,
)
from opp_darts_jax.operations.accelerator.edges import (
  FIRST,
  SECOND,
  SOURCES,
  Edges,
  Term,
)
from opp_darts_jax.operations.accelerator.fused import Stacks
from opp_darts_jax.operations.accelerator.rows import take_rows

CHANNELS = 3
# From two sources to two destinations: a separable convolution, a shifted
# matrix, both pools and a source itself.
FIRSTS = (
  Copy(CONV, Window(3), 0, depthwise=0, pointwise=1),
  Copy(BARE, Window(1, shift=1), 1, pointwise=0),
  Copy(AVG, Window(3), 1),
  Copy(MAX, Window(3), 0),
)
EDGES = Edges(
  first=Copies(FIRSTS, 1, 2, 1, 2),
  second=Copies((Copy(CONV, Window(3, 2), 0),), 1, 4, 1, 1),
  terms=(
    Term(SECOND, 0, 0, 4),
    Term(FIRST, 1, 1, 3),
    Term(FIRST, 2, 0, 2),
    Term(FIRST, 2, 1, 1),
    Term(FIRST, 3, 1, 0),
    Term(SOURCES, 1, 0, 5),
  ),
  destinations=2,
  places=7,
)


def arguments(seed, dtype=jnp.float32):
  """Sources, weights of the copies, and those of the operations."""
  draw = np.random.default_rng(seed)

  def normal(*shape):
    return np.float32(draw.normal(size=shape))

  x = normal(2, 3, 5, 6, CHANNELS).astype(dtype)
  square = CHANNELS, CHANNELS
  stacks = Stacks(
    normal(1, 9, CHANNELS),
    normal(2, *square),
    normal(1, 9, CHANNELS),
    normal(1, *square),
  )
  return x, stacks, normal(7)


def loss(x, stacks, weights, mask):
  out, *_ = fused.run_edges(EDGES, x, stacks, weights, mask)
  wide = out.astype(jnp.float32)
  return (wide * jnp.cos(jnp.arange(wide.size).reshape(wide.shape))).sum()


gradient = jax.value_and_grad(loss, (0, 1, 2))


@functools.cache
def alone():
  return jax.jit(gradient)


ALL = np.ones(7, bool)


def without(place):
  """All but one."""
  return np.arange(7) != place


def test_several_searches_at_once_are_longer_lists():
  each = [arguments(seed) for seed in range(2)]
  stacked = jax.tree.map(lambda *t: np.stack(t), *each)
  masks = np.stack([ALL, without(3)])
  together = jax.device_get(jax.jit(jax.vmap(gradient))(*stacked, masks))
  for i, args in enumerate(each):
    own = jax.tree.map(lambda t, i=i: t[i], together)
    chex.assert_trees_all_close(own, alone()(*args, masks[i]), rtol=1e-5)


def test_copies_that_rest_are_not_computed():
  x, stacks, weights = arguments(0)
  # What is not active has no say, whatever it is.
  broken = stacks._replace(
    second_pointwise=np.full_like(stacks.second_pointwise, np.nan),
    depthwise=np.full_like(stacks.depthwise, np.nan),
  )
  value, (x_grad, grads, weight_grad) = jax.device_get(
    alone()(x, broken, weights, without(4))
  )
  assert np.isfinite(value)
  assert np.isfinite(x_grad).all()
  chex.assert_trees_all_equal(
    (grads.depthwise, grads.second_pointwise, weight_grad[4]),
    jax.tree.map(
      np.zeros_like, (grads.depthwise, grads.second_pointwise, weights[4])
    ),
  )
  # The place that no term has.
  assert weight_grad[6] == 0


def test_bfloat16_is_near_and_weights_are_float32():
  exact, exact_grads = jax.device_get(alone()(*arguments(0), ALL))
  args = arguments(0, jnp.bfloat16)
  value, (x_grad, *grads) = jax.device_get(alone()(*args, ALL))
  assert x_grad.dtype == jnp.bfloat16
  assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(grads))
  sizes = np.abs(exact_grads[2]).max()
  assert abs(value - exact) < 0.05 * sizes
  np.testing.assert_allclose(grads[1], exact_grads[2], atol=0.05 * sizes)


@pytest.mark.parametrize('total', [1, 16, 100, 5000])
def test_moments_of_tiles_are_those_of_all(total):
  grid = pallas.Grid((1, 1, total))
  x = np.random.default_rng(0).normal(1e3, size=(total, 2, CHANNELS))
  tiles = [
    x[i * grid.pixels : (i + 1) * grid.pixels] for i in range(grid.tiles)
  ]
  parts = [(t.mean(0), t.var(0) * len(t)) for t in tiles]
  given = jnp.asarray(parts, jnp.float32).swapaxes(1, 2)
  mean, var = moments.merged(given, grid)
  np.testing.assert_allclose(mean, x.mean(0), rtol=1e-6)
  np.testing.assert_allclose(var, x.var(0), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('count', [1, 2, 36, 5000])
@pytest.mark.parametrize('tiles', [1, 255, 512])
def test_sums_are_divided_among_programs_enough(tiles, count):
  parts, each = pallas.parts_of(tiles, count)
  # No tile is left out, and no part is without one.
  assert (parts - 1) * each < tiles <= parts * each
  assert parts * count >= min(2048, tiles * count)
  # Nor are there so many that what they sum is much to write.
  assert parts * count <= max(2 * 2048 + count, count)


def test_rows_are_taken_and_given_back():
  x = np.arange(12, dtype=np.float32).reshape(4, 3)
  rows = [2, -1, 0]

  @jax.jit
  def run(x, both):
    y, back = jax.vjp(lambda x: take_rows(x, rows), x)
    return y, back(y + 1)[0], jax.vmap(lambda x: take_rows(x, rows))(both)

  y, given, several = jax.device_get(run(x, np.stack([x, 2 * x])))
  np.testing.assert_array_equal(y, [x[2], [0] * 3, x[0]])
  zeros = np.zeros(3)
  np.testing.assert_array_equal(given, [x[0] + 1, zeros, x[2] + 1, zeros])
  np.testing.assert_array_equal(several, np.stack([y, 2 * y]))
  text = jax.jit(jax.grad(lambda x: (take_rows(x, rows) ** 2).sum())).lower(x)
  assert 'scatter' not in text.as_text()
