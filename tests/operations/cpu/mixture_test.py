"""Tests of the kernels for the edges that leave a node, in float64."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax.operations.catalogue import named
from opp_darts_jax.operations.cpu import mixture, native, side_by_side
from opp_darts_jax.operations.gate import open_operation

SEVERAL = named(
  'max_pool_3x3',
  'sep_conv_3x3',
  'dil_conv_5x5',
  'avg_pool_3x3',
  'sep_conv_5x5',
  'dil_conv_3x3',
)
# Of two edges: what they share is active on both, on one, or nowhere.
ACTIVE = np.array(
  [
    [True, True, True, False, False, True],
    [True, False, True, True, True, False],
  ]
)

pytestmark = pytest.mark.skipif(
  native.compiler() is None, reason='there is no C++ compiler'
)


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def operations(stride):
  """They, and which are active: identities leave no reduction's inputs."""
  if stride == 2:
    return SEVERAL, ACTIVE
  active = np.concatenate([ACTIVE, [[False], [True]]], 1)
  return SEVERAL + named('skip_connect'), active


def few_operations(stride):
  """Of every kind one, which is active on one edge, on both or nowhere."""
  several, active = operations(stride)
  columns = [0, 1, 6]
  return tuple(several[k] for k in columns), active[:, columns]


def pack(params):
  """The weights of those that have any, of two edges."""
  return mixture.pack([p for p in params if p], (2,), float)


def own_moments(*copies):
  """Norms take the moments of what they normalise."""
  return jnp.zeros((*copies, 0))


def arrays(channels, size, stride, operations=operations):
  """Four states of which the second is the source, or an own source."""
  rng = np.random.default_rng(0)
  several, active = operations(stride)
  params = [
    {
      leaf: jax.device_put(rng.standard_normal((2, *weights.shape)))
      for leaf, weights in jax.eval_shape(
        lambda operation=operation: operation.init(
          jax.random.key(0), (), channels, 1
        )
      ).items()
    }
    for operation in several
  ]
  shape = (3, -(-size // stride), -(-(size + 1) // stride), channels)
  states = rng.standard_normal((4, *shape))
  source = rng.standard_normal((3, size, size + 1, channels))
  weights = rng.random(active.shape)
  return *jax.device_put((states, source, weights)), params


def mixed(
  states,
  source,
  weights,
  params,
  stride,
  images=1,
  operations=operations,
  averages=None,
):
  several, active = operations(stride)
  given = own_moments(2)
  if averages:
    given = mixture.pack_moments([a for a in averages if a], (2,), float)
  source = side_by_side.put(source, images)
  states, moments = mixture.add_edges(
    several,
    side_by_side.put(states, images),
    jnp.array(1) if stride == 1 else source,
    jax.device_put(active),
    weights,
    pack(params),
    given,
    stride,
    images,
  )
  return side_by_side.take(states, images), moments


def parts(states, source, weights, params, stride, averages=None):
  """The same operation by operation, of those that are active."""
  x = states[1] if stride == 1 else source
  several, active = operations(stride)
  statistics = [{} for _ in several]
  for d, k in np.argwhere(active).tolist():
    apply = open_operation(several[k], stride, averages is None)
    # Of what edges share, those of the first one.
    row = 0 if several[k].fused(stride).shared else d
    given = {k: t[row] for k, t in averages[k].items()} if averages else {}
    y, statistics[k][d] = apply(
      jax.tree.map(lambda p, d=d: p[d], params[k]), given, x, None
    )
    states = states.at[2 + d].add(weights[d, k] * y)
  return states, statistics


def loss(function, stride, *args):
  y = function(*args, stride)[0]
  return (jnp.sin(y) * jnp.linspace(0, 1, y.size).reshape(y.shape)).sum()


@pytest.mark.parametrize(
  ('channels', 'size', 'stride', 'images'),
  [(5, 7, 1, 1), (8, 9, 2, 1), (3, 1, 2, 1), (3, 5, 2, 3)],
)
def test_states_statistics_and_gradients(channels, size, stride, images):
  args = arrays(channels, size, stride)
  own = functools.partial(mixed, images=images)
  several, active = operations(stride)

  @functools.partial(jax.jit, static_argnums=0)
  def run(function, *args):
    gradient = jax.grad(functools.partial(loss, function, stride), range(4))
    states, found = function(*args, stride)
    if function is own:
      found = found, mixture.statistics(several, stride, found, states)
    return states, found, gradient(*args)

  states, (moments, got), gradients = jax.device_get(run(own, *args))
  want, statistics, slopes = jax.device_get(run(parts, *args))
  chex.assert_trees_all_close(states, want, rtol=1e-10, atol=1e-10)
  for operation, batch, expected in zip(several, got, statistics):
    # Nothing is said of the moments of what is not active.
    shared = operation.fused(stride).shared
    for row, one in expected.items():
      found = batch if shared else jax.tree.map(lambda t, r=row: t[r], batch)
      chex.assert_trees_all_close(found, one, rtol=1e-10, atol=1e-10)
  # Those of sep_conv_3x3 on the edge that has none.
  assert not moments[1, 2 * channels : 6 * channels].any()
  chex.assert_trees_all_close(gradients, slopes, rtol=1e-9, atol=1e-9)
  # An inactive operation has no gradient.
  assert not gradients[2][~active].any()


@pytest.mark.parametrize(
  ('channels', 'size', 'stride', 'images'), [(9, 4, 2, 1), (3, 5, 1, 3)]
)
def test_derivatives_of_gradients(channels, size, stride, images):
  args = arrays(channels, size, stride)
  along = jax.tree.map(np.cos, args)

  def product(function):
    gradient = jax.grad(functools.partial(loss, function, stride), range(4))
    return jax.jit(lambda: jax.jvp(gradient, args, along)[1])()

  chex.assert_trees_all_close(
    product(functools.partial(mixed, images=images)),
    product(parts),
    rtol=1e-9,
    atol=1e-9,
  )


def test_derivatives_of_gradients_are_what_they_change_by():
  """The gradients are those of the parts, above."""
  args, step = jax.device_get(arrays(12, 9, 1)), 1e-6
  along = jax.tree.map(np.cos, args)
  gradient = jax.grad(functools.partial(loss, mixed, 1), range(4))
  run = jax.jit(lambda *args: gradient(*args))
  ends = [
    jax.device_get(run(*jax.tree.map(lambda t, d, s=s: t + s * d, args, along)))
    for s in (step, -step)
  ]
  chex.assert_trees_all_close(
    jax.jit(lambda: jax.jvp(gradient, args, along)[1])(),
    jax.tree.map(lambda a, b: (a - b) / (2 * step), *ends),
    rtol=1e-6,
    atol=1e-6,
  )


@pytest.mark.parametrize(
  ('channels', 'size', 'stride', 'images'), [(5, 7, 1, 1), (3, 5, 2, 3)]
)
def test_norms_take_given_moments(channels, size, stride, images):
  """What they give, and both derivatives, are those of the parts."""
  args = arrays(channels, size, stride)
  along = jax.tree.map(np.cos, args)
  rng = np.random.default_rng(1)
  averages = []
  for operation in operations(stride)[0]:
    shape = 2, operation.norms(stride), channels
    drawn = {'mean': rng.standard_normal(shape), 'var': rng.random(shape) + 0.5}
    averages.append(drawn if shape[1] else {})
  own = functools.partial(mixed, images=images)

  @functools.partial(jax.jit, static_argnums=0)
  def run(function):
    function = functools.partial(function, averages=averages)
    gradient = jax.grad(functools.partial(loss, function, stride), range(4))
    return function(*args, stride), jax.jvp(gradient, args, along)

  (states, moments), slopes = run(own)
  (want, _), expected = run(parts)
  chex.assert_trees_all_close(states, want, rtol=1e-10, atol=1e-10)
  chex.assert_trees_all_close(slopes, expected, rtol=1e-9, atol=1e-9)
  assert moments.shape == (2, 0)


def product_of_weights(function, args, along, stride):
  """The gradient of the edges' weights, along a direction of the others."""
  *others, params = args
  states, source, weights = others

  def gradient(states, source, params):
    total = functools.partial(loss, function, stride, states, source)
    return jax.grad(total)(weights, params)

  direction = [along[i] for i in (0, 1, 3)]
  return jax.jvp(gradient, (states, source, params), tuple(direction))[1]


def test_the_product_that_second_order_takes():
  args = arrays(9, 6, 1)
  along = jax.tree.map(np.cos, args)
  got, want = (
    jax.jit(functools.partial(product_of_weights, function, stride=1))(
      args, along
    )
    for function in (mixed, parts)
  )
  chex.assert_trees_all_close(got, want, rtol=1e-9, atol=1e-9)


def test_a_second_backward_pass():
  """It is the derivative of the gradient along what is passed back."""
  # As all of them are run by their parts, a few are enough.
  args = arrays(3, 5, 1, few_operations)
  run = functools.partial(mixed, operations=few_operations)
  gradient = jax.grad(functools.partial(loss, run, 1), range(4))

  def slope(*args):
    return sum(jnp.sin(g).sum() for g in jax.tree.leaves(gradient(*args)))

  @jax.jit
  def both():
    along = jax.tree.map(jnp.cos, gradient(*args))
    return jax.grad(slope, range(4))(*args), jax.jvp(gradient, args, along)[1]

  chex.assert_trees_all_close(*both(), rtol=1e-9, atol=1e-9)


def test_ties_and_what_is_not_a_number():
  (max_pool,) = named('max_pool_3x3')
  states = np.zeros((4, 1, 4, 4, 2))
  states[1, 0, 3, 3, 0] = np.nan
  run = functools.partial(
    mixture.add_edges,
    [max_pool],
    source=np.int32(1),
    active_DK=np.ones((2, 1), bool),
    weights_DK=np.ones((2, 1)),
    params_DP=np.zeros((2, 0)),
    given_DM=np.zeros((2, 0)),
    stride=1,
  )
  # A channel of zeros has variance 0; a NaN reaches all of its channel.
  got = jax.device_get(jax.jit(run)(states)[0])
  assert np.isnan(got[2:, ..., 0]).all()
  assert not got[..., 1].any()

  def loss(x):
    weights = jnp.arange(16.0).reshape(4, 4) ** 2
    states = jnp.zeros((4, 1, 4, 4, 1)).at[1, 0, ..., 0].set(x)
    return (run(states)[0][2, 0, ..., 0] * weights).sum()

  def plain(x):
    weights = jnp.arange(16.0).reshape(4, 4) ** 2
    apply = open_operation(max_pool, 1, True)
    return (
      apply({}, {}, x[None, ..., None], None)[0][0, ..., 0] * weights
    ).sum()

  ties = np.random.default_rng(0).integers(3, size=(4, 4)).astype(float)
  both = jax.jit(lambda x: (jax.grad(loss)(x), jax.grad(plain)(x)))
  chex.assert_trees_all_close(*both(ties), atol=1e-9)


def test_vmap_is_a_loop():
  states, source, weights, params = arrays(3, 5, 1)
  several = np.stack([weights, 1 - np.asarray(weights)])
  run = jax.jit(
    lambda weights: jax.grad(functools.partial(loss, mixed, 1), (0, 2))(
      states, source, weights, params
    )
  )
  got = jax.vmap(run)(several)
  each = jax.device_get([run(weights) for weights in several])
  want = jax.tree.map(lambda *t: np.stack(t), *each)
  chex.assert_trees_all_close(got, want, rtol=1e-10, atol=1e-10)


def test_kernels_of_a_gradient_and_of_second_order():
  args = arrays(3, 5, 1)
  gradient = jax.grad(functools.partial(loss, mixed, 1), (0, 2, 3))
  second = functools.partial(product_of_weights, mixed, stride=1)
  counts = [
    [
      text.count(f'custom_call @mixture{kernel}_float64')
      for kernel in ('', '_jvp', '_grad', '_grad_jvp')
    ]
    for text in (
      jax.jit(gradient).lower(*args).as_text(),
      jax.jit(second).lower(args, args).as_text(),
    )
  ]
  # Of a product, nobody asks for the gradient itself.
  assert counts == [[1, 0, 1, 0], [1, 1, 0, 1]]


def test_without_the_kernels_of_second_order(monkeypatch):
  """They are built by themselves, and may fail to be by themselves."""
  args = arrays(3, 5, 1, few_operations)
  run = functools.partial(mixed, operations=few_operations)

  def product(args):
    return product_of_weights(run, args, args, 1)

  want = jax.jit(product)(args)
  build = native.available
  monkeypatch.setattr(
    native,
    'available',
    lambda library, dtype: library == 'first_order' and build(library, dtype),
  )
  program = jax.jit(lambda args: product(args)).lower(args)
  assert '@mixture_float64' in program.as_text()
  assert '@mixture_grad_jvp_float64' not in program.as_text()
  got = program.compile()(args)
  chex.assert_trees_all_close(got, want, rtol=1e-9, atol=1e-9)


def test_sources_one_after_another():
  _, _, weights, params = arrays(3, 5, 1)
  several, active = operations(1)
  rng = np.random.default_rng(1)
  states = jax.device_put(rng.standard_normal((5, 2, 4, 5, 3)))
  packed = jax.jit(pack)(params)
  active, weights, packed = (
    np.stack([t, t[::-1], t]) for t in jax.device_get((active, weights, packed))
  )
  # They feed nodes 3 and 4; node 3, when it has been fed, feeds the last one.
  sources = np.array([0, 1, 3])
  active[2, 0] = False

  def by_edges(states, weights, packed):
    for source, *xs in zip(sources, active, weights, packed):
      args = states, source, *xs, own_moments(2)
      states, _ = mixture.add_edges(several, *args, 1)
    return states

  def at_once(states, weights, packed):
    args = states, sources, active, weights, packed, own_moments(3, 2)
    return mixture.add_sources(several, 1, *args)[0]

  def products(function):
    def loss(states, weights, packed):
      return jnp.sin(function(states, weights, packed)).sum()

    args = states, weights, packed
    along = jax.tree.map(np.cos, args)
    both = jax.value_and_grad(loss, (0, 1, 2))
    alone = jax.grad(loss, 1)
    return jax.jit(lambda: (jax.jvp(both, args, along), alone(*args)))()

  chex.assert_trees_all_close(
    products(at_once), products(by_edges), rtol=1e-9, atol=1e-9
  )
