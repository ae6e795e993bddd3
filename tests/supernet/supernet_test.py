"""Structure of the supernet, and masks against smaller spaces."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search

from opp_darts_jax.errors import UserError
from opp_darts_jax.methods.tables import init_alphas, softmax_weights
from opp_darts_jax.spaces.catalogue import SPACES
from opp_darts_jax.supernet.supernet import Supernet

KEY = jax.random.key(0)


def build(space, layers=8, channels=16, classes=10):
  return Supernet(space, layers, channels, classes)


def inputs(space, images):
  """Images, operation weights of fresh alphas, and the whole mask."""
  mask = tiny_search.mask_of(space)
  return images, softmax_weights(space, init_alphas(KEY, space), mask), mask


def count(space, **sizes):
  model = build(space, **sizes)
  images = jnp.zeros((2, 32, 32, 3))
  shapes = jax.eval_shape(
    lambda: model.init(KEY, *inputs(space, images), train=True)
  )
  return sum(leaf.size for leaf in jax.tree.leaves(shapes['params']))


def test_number_of_weights():
  assert count(SPACES['darts']) == 1_930_618
  assert count(SPACES['darts'], layers=5, channels=8) == 394_210


@pytest.fixture(scope='module')
def full():
  """A supernet of one space and its variables; 'apply' is compiled once."""
  space = tiny_search.space_of(
    'full', 'none', 'max_pool_3x3', 'skip_connect', 'sep_conv_3x3', 'noise'
  )
  model = build(space, layers=2, channels=2, classes=3)
  images = jax.random.normal(KEY, (4, 8, 8, 1))
  _, weights, mask = inputs(space, images)
  variables = tiny_search.random_variables(model, images, weights, mask)
  apply = jax.jit(functools.partial(model.apply, train=False))
  return space, variables, images, weights, apply


def masked(weights, mask):
  """Operation weights as a method makes them: none where the mask is False."""
  return jax.tree.map(jnp.multiply, weights, mask)


def test_masked_operations_do_not_count(full):
  space, variables, images, weights, apply = full
  mask = space.mask(['skip_connect', 'sep_conv_3x3'])
  weights = masked(weights, mask)
  want = apply(variables, images, weights, mask, key=KEY)
  broken = jax.tree_util.tree_map_with_path(
    lambda path, leaf: (
      leaf * jnp.nan
      if any(getattr(k, 'key', '') == 'max_pool_3x3' for k in path)
      else leaf
    ),
    variables,
  )
  got = apply(broken, images, weights, mask, key=KEY)
  np.testing.assert_array_equal(got, want)


def test_noise_follows_its_key(full):
  space, variables, images, weights, apply = full
  mask = space.mask(['noise', 'sep_conv_3x3'])
  first, again, other = (
    apply(
      variables, images, masked(weights, mask), mask, key=jax.random.key(seed)
    )
    for seed in (1, 1, 2)
  )
  np.testing.assert_array_equal(first, again)
  assert np.abs(first - other).max() > 1e-4


def test_an_empty_supernet_passes_nothing(full):
  space, variables, images, weights, apply = full
  mask = space.mask([])
  logits = apply(variables, images, masked(weights, mask), mask, key=KEY)
  bias = variables['params']['classifier']['linear']['bias']
  np.testing.assert_allclose(logits, np.tile(bias, (4, 1)), atol=1e-6)


def test_every_cell_of_a_kind_may_have_its_own_weights():
  space = tiny_search.space_of('s', 'skip_connect', 'sep_conv_3x3', nodes=1)
  model = build(space, layers=2, channels=2, classes=3)  # Both cells reduce.
  images, weights, mask = inputs(space, jax.random.normal(KEY, (4, 8, 8, 1)))
  variables = tiny_search.random_variables(model, images, weights, mask)
  apply = jax.jit(functools.partial(model.apply, train=False))
  copies = jax.tree.map(lambda t: jnp.stack([t, t]), weights)
  want = apply(variables, images, weights, mask)
  got = apply(variables, images, copies, mask)
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
  # Each of the copies counts, and for its own cell.
  factor = jnp.array([1.0, 2.0])[:, None, None]
  changed = [
    apply(variables, images, copies | {'reduce': copies['reduce'] * f}, mask)
    for f in (factor, factor[::-1])
  ]
  for one, other in ((got, changed[0]), (got, changed[1]), changed):
    assert np.abs(one - other).max() > 1e-5


def test_too_few_copies_of_weights_are_refused():
  space = tiny_search.space_of('s', 'skip_connect', 'sep_conv_3x3', nodes=1)
  images, weights, mask = inputs(space, jnp.zeros((2, 8, 8, 1)))
  copies = jax.tree.map(lambda t: t[None], weights)
  with pytest.raises(
    UserError, match='2 or more reduce cells, or of all at once, got 1'
  ):
    jax.eval_shape(
      lambda: build(space, layers=3, channels=2).init(
        KEY, images, copies, mask, train=True
      )
    )


def test_bfloat16_computes_nearly_the_same():
  space = tiny_search.space_of(
    'few', 'max_pool_3x3', 'skip_connect', 'sep_conv_3x3', nodes=1
  )
  images = jnp.asarray(
    np.random.default_rng(0).standard_normal((8, 8, 8, 3)), jnp.float32
  )
  exact_model = Supernet(space, 2, 4, 5, 'loop')
  images, weights, mask = inputs(space, images)
  variables = tiny_search.random_variables(exact_model, images, weights, mask)

  def run(model):
    def loss(params, weights):
      logits, changed = model.apply(
        {**variables, 'params': params},
        images,
        weights,
        mask,
        train=True,
        mutable=['batch_stats'],
      )
      return (logits**2).sum(), (logits, changed['batch_stats'])

    args = variables['params'], weights
    if model.compute == 'bfloat16':  # Whatever is kept is float32.
      gradients = jax.eval_shape(jax.grad(loss, (0, 1), has_aux=True), *args)
      for leaf in jax.tree.leaves(gradients):
        assert leaf.dtype == jnp.float32
    return jax.jit(loss)(*args)[1]

  exact, rounded = map(
    run, (exact_model, exact_model.clone(compute='bfloat16'))
  )
  difference = abs(exact[0] - rounded[0]).max()
  assert 0 < difference < 0.03 * abs(exact[0]).max()
  chex.assert_trees_all_close(exact[1], rounded[1], rtol=0.1, atol=0.05)
