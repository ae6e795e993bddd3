"""Structure of the supernet, and masks against smaller spaces."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from opp_darts_jax.genotypes.space import SPACES, SearchSpace, num_edges

from opp_darts_jax.methods import architecture
from opp_darts_jax.supernet.edges import phases
from opp_darts_jax.supernet.supernet import Supernet

KEY = jax.random.key(0)


def build(space, nodes=4, layers=8, channels=16, classes=10):
  return Supernet(space, nodes, layers, channels, classes)


def inputs(space, nodes, images):
  mask = jax.tree.map(jnp.asarray, space.mask(nodes))
  alphas = architecture.init_alphas(
    KEY, num_edges(nodes), len(space.operations)
  )
  return images, alphas, mask


def count(space, **sizes):
  model = build(space, **sizes)
  images = jnp.zeros((2, 32, 32, 3))
  shapes = jax.eval_shape(
    lambda: model.init(KEY, *inputs(space, model.nodes, images), train=True)
  )
  return sum(leaf.size for leaf in jax.tree.leaves(shapes['params']))


def test_number_of_weights():
  assert count(SPACES['darts']) == 1_930_618
  assert count(SPACES['darts'], layers=5, channels=8) == 394_210


@pytest.mark.parametrize('name', SPACES)
@pytest.mark.parametrize('size', [16, 13])
def test_every_space_and_size_gives_logits(name, size):
  space = SPACES[name]
  model = build(space, layers=3, channels=2, classes=7)
  images = jnp.zeros((2, size, size, 1))

  def logits():
    given = inputs(space, 4, images)
    variables = model.init(KEY, *given, train=True)
    return model.apply(variables, *given, train=False, key=KEY)

  assert jax.eval_shape(logits).shape == (2, 7)


@pytest.mark.parametrize('nodes', [1, 2, 3, 5])
@pytest.mark.parametrize('reduction', [False, True])
def test_phases_hold_every_edge_once(nodes, reduction):
  edges = np.concatenate(
    [phase.edges_SD.ravel() for phase in phases(nodes, reduction)]
  )
  assert sorted(edges[edges >= 0]) == list(range(num_edges(nodes)))


@pytest.fixture(scope='module')
def full():
  """A supernet of one space and its variables; 'apply' is compiled once."""
  operations = ('none', 'max_pool_3x3', 'skip_connect', 'sep_conv_3x3', 'noise')
  space = SearchSpace('full', operations)
  model = build(space, nodes=2, layers=2, channels=2, classes=3)
  images = jax.random.normal(KEY, (4, 8, 8, 1))
  _, alphas, mask = inputs(space, 2, images)
  # XLA's own generator compiles much faster than many threefry streams.
  init = jax.jit(functools.partial(model.init, train=True))
  variables = init(jax.random.key(0, impl='rbg'), images, alphas, mask)
  apply = jax.jit(functools.partial(model.apply, train=False))
  return space, variables, images, alphas, apply


def test_masked_operations_do_not_count(full):
  space, variables, images, alphas, apply = full
  mask = space.mask(2, ['skip_connect', 'sep_conv_3x3'])
  want = apply(variables, images, alphas, mask, key=KEY)
  broken = jax.tree_util.tree_map_with_path(
    lambda path, leaf: (
      leaf * jnp.nan
      if any(getattr(k, 'key', '') == 'max_pool_3x3' for k in path)
      else leaf
    ),
    variables,
  )
  got = apply(broken, images, alphas, mask, key=KEY)
  np.testing.assert_array_equal(got, want)
  # The softmax is over the active operations alone.
  moved = jax.tree.map(lambda t: t.at[:, 1].add(7.0), alphas)
  got = apply(variables, images, moved, mask, key=KEY)
  np.testing.assert_array_equal(got, want)


def test_noise_follows_its_key(full):
  space, variables, images, alphas, apply = full
  mask = space.mask(2, ['noise', 'sep_conv_3x3'])
  first, again, other = (
    apply(variables, images, alphas, mask, key=jax.random.key(seed))
    for seed in (1, 1, 2)
  )
  np.testing.assert_array_equal(first, again)
  assert np.abs(first - other).max() > 1e-4


def test_an_empty_supernet_passes_nothing(full):
  space, variables, images, alphas, apply = full
  logits = apply(variables, images, alphas, space.mask(2, []), key=KEY)
  bias = variables['params']['classifier']['linear']['bias']
  np.testing.assert_allclose(logits, np.tile(bias, (4, 1)), atol=1e-6)


@pytest.mark.usefixtures('quick_compilation')
@pytest.mark.parametrize(('name', 'nodes'), [('full', 2), ('s1', 4)])
def test_layouts_agree(full, name, nodes):
  space = full[0] if name == 'full' else SPACES[name]
  model = build(space, nodes=nodes, layers=3, channels=2, classes=3)
  images, alphas, mask = inputs(
    space, nodes, jax.random.normal(KEY, (4, 9, 9, 1))
  )
  # Some edges alone have the last operation.
  mask = jax.tree.map(lambda m: m.at[1:3, -1].set(False), mask)
  init = jax.jit(functools.partial(model.init, train=True))
  variables = init(jax.random.key(0, impl='rbg'), images, alphas, mask)

  @functools.partial(jax.jit, static_argnums=0)
  def gradients(layout, weights, alphas):
    def loss(weights, alphas):
      logits, changed = model.clone(layout=layout).apply(
        variables | {'params': weights},
        images,
        alphas,
        mask,
        True,
        KEY,
        mutable=['batch_stats'],
      )
      return (logits**2).sum(), (logits, changed)

    return jax.grad(loss, (0, 1), has_aux=True)(weights, alphas)

  one, other = (
    gradients(layout, variables['params'], alphas)
    for layout in ('loop', 'batch')
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(
      a, b, rtol=2e-4, atol=2e-5 * (1 + np.abs(a).max())
    ),
    one,
    other,
  )


@pytest.mark.parametrize('layout', ['loop', 'batch'])
def test_bfloat16_computes_nearly_the_same(layout):
  space = SearchSpace('few', ('max_pool_3x3', 'skip_connect', 'sep_conv_3x3'))
  images = jnp.asarray(
    np.random.default_rng(0).standard_normal((8, 8, 8, 3)), jnp.float32
  )
  exact_model = Supernet(space, 1, 3, 4, 5, layout)
  images, alphas, mask = inputs(space, 1, images)
  variables = jax.jit(functools.partial(exact_model.init, train=True))(
    jax.random.key(0, impl='rbg'), images, alphas, mask
  )

  def run(model):
    def loss(params, alphas):
      logits, changed = model.apply(
        {**variables, 'params': params},
        images,
        alphas,
        mask,
        train=True,
        mutable=['batch_stats'],
      )
      return (logits**2).sum(), (logits, changed['batch_stats'])

    args = variables['params'], alphas
    gradients = jax.eval_shape(jax.grad(loss, (0, 1), has_aux=True), *args)
    # Whatever is kept is float32.
    for leaf in jax.tree.leaves(gradients):
      assert leaf.dtype == jnp.float32
    return jax.jit(loss)(*args)[1]

  exact, rounded = map(
    run, (exact_model, exact_model.clone(compute='bfloat16'))
  )
  difference = abs(exact[0] - rounded[0]).max()
  assert 0 < difference < 0.03 * abs(exact[0]).max()
  chex.assert_trees_all_close(exact[1], rounded[1], rtol=0.1, atol=0.05)
