"""One contract for every operation, and what is special about some."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax.errors import UserError
from opp_darts_jax.operations.catalogue import OPERATIONS, named
from opp_darts_jax.operations.cpu.mixture_primitives import knows
from opp_darts_jax.operations.dense import factorized_reduce
from opp_darts_jax.operations.norm import Normalised
from opp_darts_jax.operations.operation import Operation, no_weights
from opp_darts_jax.spaces.catalogue import SPACES

CHANNELS = 4
COPIES = (3, 2)


def init_mirror(key, copies, channels, stride):
  del stride
  return {'scale': jax.random.uniform(key, (*copies, channels))}


def mirror(params, x, norm, stride, key):
  del norm, key
  return params['scale'] * x[:, ::-stride, ::stride]


# As users write theirs: name, init and apply.
MIRROR = Operation('mirror', init_mirror, mirror)
DOUBLE = Operation(
  'double',
  no_weights,
  lambda params, x, norm, stride, key: 2 * x[:, ::stride, ::stride],
)
EVERY = {
  f'{where}: {operation.name}': operation
  for where, operations in (
    ('catalogue', OPERATIONS.values()),
    *((name, space.operations) for name, space in SPACES.items()),
    ('own', (MIRROR, DOUBLE)),
  )
  for operation in operations
}
EVERY |= {
  f'{name} in networks': operation.in_network
  for name, operation in EVERY.items()
  if operation.in_network is not operation
}
# The same record of several spaces once.
DIFFERENT = {operation: name for name, operation in reversed(EVERY.items())}
every_operation = pytest.mark.parametrize(
  'operation', [pytest.param(o, id=name) for o, name in DIFFERENT.items()]
)
both_strides = pytest.mark.parametrize('stride', [1, 2])


def identity(measured, i):
  del i
  return Normalised.unchanged(getattr(measured, 'x', measured))


def some_x(height=5, width=6):
  rng = np.random.default_rng(0)
  return jax.device_put(
    np.float32(rng.standard_normal((2, height, width, CHANNELS)))
  )


def shapes(operation, stride, copies=()):
  """{leaf: its shape}."""
  found = jax.eval_shape(
    lambda: operation.init(jax.random.key(0), copies, CHANNELS, stride)
  )
  return {name: leaf.shape for name, leaf in found.items()}


def some_weights(operation, stride):
  rng = np.random.default_rng(1)
  return {
    leaf: jax.device_put(np.float32(rng.standard_normal(shape)))
    for leaf, shape in shapes(operation, stride).items()
  }


def apply(operation, x, stride, norm=identity, key=0):
  if isinstance(operation, str):
    operation = OPERATIONS[operation]
  weights = some_weights(operation, stride)
  # XLA's own generator compiles faster.
  key = jax.random.key(key, impl='rbg')
  return operation.apply(weights, x, norm, stride, key)


@functools.cache
def output(operation, stride, key=0):
  """What it gives for `some_x`."""
  return np.asarray(_compiled(operation, stride)(some_x(), jnp.uint32(key)))


@functools.cache
def _compiled(operation, stride):
  return jax.jit(lambda x, key: apply(operation, x, stride, key=key))


def test_the_contract_is_tested_of_all():
  kept = {operation.name for operation in DIFFERENT}
  assert kept == {
    *OPERATIONS,
    *(name for space in SPACES.values() for name in space.names),
    *('mirror', 'double'),
  }
  names = [operation.name for operation in DIFFERENT]
  # As they are in supernets and in networks.
  for name in ('max_pool_3x3', 'nor_conv_1x1', 'nor_conv_3x3'):
    assert names.count(name) == 2


@every_operation
@both_strides
@pytest.mark.parametrize('size', [(8, 8), (5, 6), (1, 7)])
def test_output_has_the_resolution_over_the_stride(operation, stride, size):
  for form in (operation, operation.in_network):
    x = jax.ShapeDtypeStruct((2, *size, CHANNELS), jnp.float32)
    y = jax.eval_shape(lambda x, form=form: apply(form, x, stride), x)
    out = [(n + stride - 1) // stride for n in size]
    assert (y.shape, y.dtype) == ((2, *out, CHANNELS), jnp.float32)


@every_operation
@both_strides
def test_weights_are_stacks_of_copies(operation, stride):
  single = shapes(operation, stride)
  assert shapes(operation, stride, COPIES) == {
    leaf: (*COPIES, *shape) for leaf, shape in single.items()
  }
  if single:
    key = jax.random.key(1, impl='rbg')
    weights = operation.init(key, (50,), CHANNELS, stride)
    for values in jax.device_get(weights).values():
      # No copy is another.
      assert len(np.unique(values.reshape(50, -1)[:, 0])) == 50


@every_operation
@both_strides
def test_norms_counts_and_numbers_the_calls(operation, stride):
  calls = []

  def norm(measured, i):
    calls.append(i)
    return identity(measured, i)

  jax.eval_shape(lambda x: apply(operation, x, stride, norm), some_x())
  assert calls == list(range(operation.norms(stride)))


@every_operation
@both_strides
def test_what_edges_share_has_neither_weights_nor_randomness(operation, stride):
  if operation.shared(stride):
    assert not shapes(operation, stride)
    assert not operation.random
  if not operation.random and not shapes(operation, stride):
    # It does without weights and key.
    jax.eval_shape(
      lambda x: operation.apply({}, x, identity, stride, None), some_x()
    )


@every_operation
@both_strides
def test_an_identity_gives_x_itself(operation, stride):
  x = some_x()
  if operation.identity(stride):
    np.testing.assert_array_equal(apply(operation, x, stride), x)
  elif stride == 1:
    assert np.abs(output(operation, stride) - x).max() > 0.1


@every_operation
@both_strides
def test_only_what_is_random_depends_on_the_key(operation, stride):
  y, z = (output(operation, stride, key) for key in (0, 1))
  assert operation.random != np.array_equal(y, z)


@every_operation
@both_strides
def test_what_does_not_carry_gives_zeros(operation, stride):
  assert operation.carries == bool(np.any(output(operation, stride)))


@every_operation
@both_strides
def test_multiply_adds_follow_from_the_weights(operation, stride):
  """Every kernel once for each pixel of an output, or of a half-way one."""
  if operation in (MIRROR, DOUBLE):
    assert operation.multiply_adds(CHANNELS, stride, (8, 8)) == 0
    return
  kernels = [s for s in shapes(operation, stride).values() if len(s) > 1]
  weights = sum(int(np.prod(shape)) for shape in kernels)
  out = 64 // stride**2
  found = operation.multiply_adds(CHANNELS, stride, (8, 8))
  if operation.name == 'conv_7x1_1x7' and stride == 2:
    # The row of it leaves 8 x 4 pixels, the column 4 x 4.
    assert found == weights * (32 + 16) // 2
  else:
    assert found == weights * out
  # Sides are rounded up.
  assert operation.multiply_adds(CHANNELS, stride, (7, 7)) <= found
  odd = operation.multiply_adds(CHANNELS, 2, (7, 8))
  assert odd == operation.multiply_adds(CHANNELS, 2, (8, 8)) or (
    operation.name == 'conv_7x1_1x7'
  )


@every_operation
@both_strides
def test_torch_names_cover_every_leaf_once(operation, stride):
  if operation.torch is None:
    assert operation in (MIRROR, DOUBLE)
    return
  weights, norms = operation.torch(stride)
  assert len(norms) == operation.norms(stride)
  names = [weight.name for weight in weights]
  assert len({*names, *norms}) == len(names) + len(norms)
  covered = {
    leaf: np.zeros(shape, int)
    for leaf, shape in shapes(operation, stride).items()
  }
  for weight in weights:
    part = covered[weight.leaf][weight.index]
    part += 1
    tensor = weight.layout.to_torch(part)
    np.testing.assert_array_equal(weight.layout.from_torch(tensor), part)
  assert all((count == 1).all() for count in covered.values())


@every_operation
@both_strides
def test_fused_forms_are_of_the_operation(operation, stride):
  fused = operation.fused(stride)
  if fused is None:
    return
  assert fused.norms == operation.norms(stride)
  assert fused.shared == operation.shared(stride)
  if fused.unit.repeats:
    repeats, size, _ = fused.unit
    depthwise = shapes(operation, stride)['depthwise']
    assert depthwise == (repeats, size, size, CHANNELS)
  elif fused.kind == 'factorized_reduce':
    assert shapes(operation, stride) == {
      'pointwise': (2, CHANNELS, CHANNELS // 2)
    }
  else:
    assert not shapes(operation, stride)


@every_operation
def test_records_are_keys_and_say_their_names(operation):
  assert hash(operation) == hash(operation._replace())
  assert operation.name
  assert operation.drawn
  assert repr(operation) == f"Operation('{operation.name}')"
  # Of a form for networks there is no further one.
  assert operation.in_network.in_network == operation.in_network
  assert operation.in_network.name == operation.name


def test_which_operations_fused_kernels_know():
  known = {
    stride: {name for name, o in OPERATIONS.items() if knows(o, stride)}
    for stride in (1, 2)
  }
  assert known[1] - known[2] == {'skip_connect'}
  assert {*OPERATIONS} - known[1] == {'none', 'conv_7x1_1x7', 'noise'}
  # Those for GPU know one more.
  assert known[1] == {name for name, o in OPERATIONS.items() if o.fused(2)}


def test_pools_of_darts_have_a_norm_in_supernets_alone():
  for name, operation in OPERATIONS.items():
    own, bare = operation.norms(1), operation.in_network.norms(1)
    assert own - bare == ('pool' in name)
  bench = {o.name: o for o in SPACES['nasbench201'].operations}
  assert bench['avg_pool_3x3'].norms(1) == 0


def test_convolutions_of_nas_bench_201_have_a_bias_in_supernets_alone():
  for operation in SPACES['nasbench201'].operations:
    if operation.parametric:
      size = int(operation.name[-1])
      kernel = {'kernel': (size, size, CHANNELS, CHANNELS)}
      assert shapes(operation, 1) == kernel | {'bias': (CHANNELS,)}
      assert shapes(operation.in_network, 1) == kernel
      x = some_x()
      weights = some_weights(operation, 1)
      y = operation.apply(weights, x, identity, 1, None)
      bare = operation.in_network.apply(
        {'kernel': weights['kernel']}, x, identity, 1, None
      )
      chex.assert_trees_all_close(y, bare + weights['bias'], rtol=1e-5)


def test_unknown_names():
  with pytest.raises(UserError, match=r"operation 'sep'; valid are: none, max"):
    named('none', 'sep')


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


@pytest.mark.parametrize('name', OPERATIONS)
def test_weights_of_the_catalogue(name):
  expected = WEIGHTS.get(name, {})
  want = {leaf: shape for leaf, (shape, _) in expected.items()}
  assert shapes(OPERATIONS[name], 2) == want
  plain = {} if name == 'skip_connect' else want
  assert shapes(OPERATIONS[name], 1) == plain
  parametric = name in WEIGHTS and name != 'skip_connect'
  assert OPERATIONS[name].parametric == parametric


@pytest.mark.parametrize('name', WEIGHTS)
def test_weights_are_uniform_within_pytorchs_bound(name):
  key = jax.random.key(1, impl='rbg')
  weights = OPERATIONS[name].init(key, (50,), CHANNELS, 2)
  for leaf, values in jax.device_get(weights).items():
    bound = WEIGHTS[name][leaf][1] ** -0.5
    assert 0.95 * bound < values.max() <= bound
    assert -bound <= values.min() < -0.95 * bound
    # The standard deviation of a uniform distribution.
    np.testing.assert_allclose(values.std(), bound / 3**0.5, rtol=0.05)
  assert len({float(v.ravel()[0]) for v in weights.values()}) == len(weights)


@pytest.mark.parametrize('name', OPERATIONS)
def test_what_has_weights_rectifies_its_input_and_nothing_else(name):
  operation = OPERATIONS[name]
  y = output(operation, 2)
  z = _compiled(operation, 2)(np.maximum(some_x(), 0), jnp.uint32(0))
  if name in WEIGHTS or name in ('none', 'noise'):
    np.testing.assert_array_equal(y, z)
  else:
    assert np.abs(y - z).max() > 0.1


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
  with pytest.raises(ValueError, match='noise needs a random key'):
    OPERATIONS['noise'].apply({}, x, identity, 1, None)


@pytest.mark.parametrize('size', [(4, 6), (5, 4), (3, 3), (1, 1)])
def test_factorized_reduce_sees_the_image_shifted_by_a_pixel(size):
  height, width = size
  x = np.zeros((1, height + 2, width + 2, 1), np.float32)
  x[0, :height, :width, 0] = 1 + np.arange(height * width).reshape(size)
  kernels = jnp.array([1.0, 100.0]).reshape(2, 1, 1)
  y = factorized_reduce(x[:, :height, :width], kernels)
  # Beyond the border of an odd size there are zeros.
  out = [(n + 1) // 2 for n in size]
  shifted = x[:, 1::2, 1::2][:, : out[0], : out[1]]
  np.testing.assert_array_equal(y[..., :1], x[:, :height:2, :width:2])
  np.testing.assert_array_equal(y[..., 1:], 100 * shifted)


@both_strides
def test_conv_7x1_1x7_is_a_row_then_a_column(stride):
  operation = OPERATIONS['conv_7x1_1x7']
  x, weights = some_x(), jax.device_get(some_weights(operation, stride))
  y = jax.jit(lambda x: operation.apply(weights, x, identity, stride, None))(x)
  padded = np.pad(np.maximum(x, 0), ((0, 0), (3, 3), (3, 3), (0, 0)))
  want = np.zeros(y.shape)
  for row, column in np.ndindex(y.shape[1:3]):
    at, across = row * stride, column * stride
    want[:, row, column] = np.einsum(
      'bhwc,wcd,hde->be',
      padded[:, at : at + 7, across : across + 7],
      weights['row'],
      weights['column'],
    )
  chex.assert_trees_all_close(y, np.float32(want), rtol=1e-5, atol=1e-4)


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
