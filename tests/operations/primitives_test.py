"""One contract for all primitives, and what is special about some."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax.genotypes import space
from opp_darts_jax.operations import primitives
from opp_darts_jax.operations.norm import Normalised
from opp_darts_jax.operations.primitives import PRIMITIVES

CHANNELS = 4
COPIES = (3, 2)
every_primitive = pytest.mark.parametrize('name', PRIMITIVES)
both_strides = pytest.mark.parametrize('stride', [1, 2])

# Shapes of a copy's weights, and the fan-in of each.
SEPARABLE = {
  name: {
    'depthwise': ((repeats, size, size, CHANNELS), size * size),
    'pointwise': ((repeats, CHANNELS, CHANNELS), CHANNELS),
  }
  for name, size, repeats in (
    ('sep_conv_3x3', 3, 2),
    ('sep_conv_5x5', 5, 2),
    ('sep_conv_7x7', 7, 2),
    ('dil_conv_3x3', 3, 1),
    ('dil_conv_5x5', 5, 1),
  )
}
ROW = ((7, CHANNELS, CHANNELS), 7 * CHANNELS)
WEIGHTS = {
  **SEPARABLE,
  'conv_7x1_1x7': {'row': ROW, 'column': ROW},
  'skip_connect': {'pointwise': ((2, CHANNELS, CHANNELS // 2), CHANNELS)},
}


def expected_weights(name, stride):
  if name == 'skip_connect' and stride == 1:
    return {}
  return WEIGHTS.get(name, {})


def identity(measured, i):
  del i
  return Normalised.unchanged(measured.x)


def some_x(height=5, width=6):
  rng = np.random.default_rng(0)
  return jnp.float32(rng.standard_normal((2, height, width, CHANNELS)))


def init(name, stride, copies=()):
  # XLA's own generator compiles faster.
  key = jax.random.key(1, impl='rbg')
  return PRIMITIVES[name].init(key, copies, CHANNELS, stride)


def some_weights(name, stride):
  rng = np.random.default_rng(1)
  return {
    leaf: jnp.float32(rng.standard_normal(shape) / fan_in**0.5)
    for leaf, (shape, fan_in) in expected_weights(name, stride).items()
  }


def apply(name, x, stride, norm=identity, key=0):
  weights = some_weights(name, stride)
  key = jax.random.key(key, impl='rbg')
  return PRIMITIVES[name].apply(weights, x, norm, stride, key)


def test_every_operation_that_a_space_may_name_is_there():
  assert set(PRIMITIVES) == set(space.OPERATIONS)


@every_primitive
@both_strides
@pytest.mark.parametrize('size', [(8, 8), (5, 6), (1, 7)])
def test_output_has_the_resolution_over_the_stride(name, stride, size):
  x = jax.ShapeDtypeStruct((2, *size, CHANNELS), jnp.float32)
  y = jax.eval_shape(lambda x: apply(name, x, stride), x)
  out = [(n + stride - 1) // stride for n in size]
  assert (y.shape, y.dtype) == ((2, *out, CHANNELS), jnp.float32)


@every_primitive
@both_strides
def test_weights_are_stacks_of_copies(name, stride):
  shapes = jax.eval_shape(lambda: init(name, stride, COPIES))
  assert {k: leaf.shape for k, leaf in shapes.items()} == {
    k: (*COPIES, *shape)
    for k, (shape, _) in expected_weights(name, stride).items()
  }


@every_primitive
@both_strides
def test_norms_counts_and_numbers_the_calls(name, stride):
  calls = []

  def norm(measured, i):
    calls.append(i)
    return identity(measured, i)

  jax.eval_shape(lambda x: apply(name, x, stride, norm), some_x())
  assert calls == list(range(PRIMITIVES[name].norms(stride)))
  # The supernet adds one to the pools, and to nothing else.
  assert PRIMITIVES[name].search_norm == ('pool' in name)


@every_primitive
@both_strides
def test_what_edges_share_has_neither_weights_nor_randomness(name, stride):
  shared = PRIMITIVES[name].shared(stride)
  assert shared == (not expected_weights(name, stride) and name != 'noise')
  if shared:
    # It does without them.
    jax.eval_shape(
      lambda x: PRIMITIVES[name].apply({}, x, identity, stride, None), some_x()
    )


@pytest.mark.parametrize('name', WEIGHTS)
def test_weights_are_uniform_within_pytorchs_bound(name):
  weights = init(name, stride=2, copies=(50,))
  for leaf, values in jax.device_get(weights).items():
    bound = WEIGHTS[name][leaf][1] ** -0.5
    assert 0.95 * bound < values.max() <= bound
    assert -bound <= values.min() < -0.95 * bound
    # The standard deviation of a uniform distribution.
    np.testing.assert_allclose(values.std(), bound / 3**0.5, rtol=0.05)
    # No copy is another.
    assert len(np.unique(values.reshape(50, -1)[:, 0])) == 50
  assert len({float(v.ravel()[0]) for v in weights.values()}) == len(weights)


@every_primitive
def test_what_has_weights_rectifies_its_input_and_nothing_else(name):
  x = some_x()
  run = jax.jit(lambda x: apply(name, x, 2))
  y, z = run(x), run(np.maximum(x, 0))
  if name in WEIGHTS or name in ('none', 'noise'):
    np.testing.assert_array_equal(y, z)
  else:
    assert np.abs(y - z).max() > 0.1


def test_none_is_zero_and_skip_connect_the_identity():
  x = some_x()
  np.testing.assert_array_equal(apply('none', x, 2), jnp.zeros((2, 3, 3, 4)))
  np.testing.assert_array_equal(apply('skip_connect', x, 1), x)


def test_noise_ignores_its_input():
  x = some_x()
  y = apply('noise', x, 1)
  np.testing.assert_array_equal(y, apply('noise', 5 * x + 1, 1))
  _, x_dot = jax.jvp(lambda x: apply('noise', x, 1), (x,), (x,))
  assert not x_dot.any()


def test_noise_is_normal_and_of_its_key():
  x = jnp.zeros((4, 32, 32, 4))
  y = np.asarray(apply('noise', x, 1))
  assert abs(y.mean()) < 0.04  # 5 standard errors
  np.testing.assert_allclose(y.std(), 1, atol=0.03)
  assert not np.array_equal(y, apply('noise', x, 1, key=1))
  with pytest.raises(ValueError, match='noise needs a random key'):
    PRIMITIVES['noise'].apply({}, x, identity, 1, None)


@pytest.mark.parametrize('size', [(4, 6), (5, 4), (3, 3), (1, 1)])
def test_factorized_reduce_sees_the_image_shifted_by_a_pixel(size):
  height, width = size
  x = np.zeros((1, height + 2, width + 2, 1), np.float32)
  x[0, :height, :width, 0] = 1 + np.arange(height * width).reshape(size)
  kernels = jnp.array([1.0, 100.0]).reshape(2, 1, 1)
  y = primitives.factorized_reduce(x[:, :height, :width], kernels)
  # Beyond the border of an odd size there are zeros.
  out = [(n + 1) // 2 for n in size]
  shifted = x[:, 1::2, 1::2][:, : out[0], : out[1]]
  np.testing.assert_array_equal(y[..., :1], x[:, :height:2, :width:2])
  np.testing.assert_array_equal(y[..., 1:], 100 * shifted)


@both_strides
def test_conv_7x1_1x7_is_a_row_then_a_column(stride):
  x, weights = some_x(), some_weights('conv_7x1_1x7', stride)
  y = PRIMITIVES['conv_7x1_1x7'].apply(weights, x, identity, stride, None)
  padded = np.pad(jax.nn.relu(x), ((0, 0), (3, 3), (3, 3), (0, 0)))
  want = np.zeros(y.shape)
  for row, column in np.ndindex(y.shape[1:3]):
    at, across = row * stride, column * stride
    want[:, row, column] = np.einsum(
      'bhwc,wcd,hde->be',
      padded[:, at : at + 7, across : across + 7],
      weights['row'],
      weights['column'],
    )
  chex.assert_trees_all_close(y, np.float32(want), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
  ('name', 'size', 'dilation'),
  [
    ('sep_conv_3x3', 3, 1),
    ('dil_conv_3x3', 3, 2),
    ('dil_conv_5x5', 5, 2),
  ],
)
def test_an_impulse_spreads_over_the_kernel(name, size, dilation):
  """The first depthwise convolution alone, by a norm that stops the rest."""
  x = jnp.zeros((1, 15, 15, CHANNELS)).at[0, 7, 7].set(1.0)
  seen = []
  apply(name, x, 1, lambda y, i: seen.append(y.x) or identity(y, i))
  lit = np.asarray(seen[0][0] != 0).all(-1)
  taps = 7 + dilation * (np.arange(size) - size // 2)
  want = np.zeros((15, 15), bool)
  want[np.ix_(taps, taps)] = True
  np.testing.assert_array_equal(lit, want)


def test_only_the_first_repeat_has_the_stride():
  sizes = []

  def norm(measured, i):
    sizes.append(measured.x.shape[1:3])
    return identity(measured, i)

  jax.eval_shape(lambda x: apply('sep_conv_3x3', x, 2, norm), some_x(8, 6))
  assert sizes == [(4, 3), (4, 3)]
