"""Tests of the evaluation network: structure, drop-path, auxiliary head.

Its numbers are tested in golden_test.py.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax import network, published
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotype import Genotype
from opp_darts_jax.network import Cell, Network, Operation, drop_path_factors

AVG = 'avg_pool_3x3'
SKIP = 'skip_connect'


def genotype(*normal):
  """One node; the reduction cell has pools only."""
  return Genotype(normal, (2,), ((AVG, 0), (AVG, 1)), (2,))


def small(*normal, **options):
  return Network(genotype(*normal), layers=3, channels=2, classes=3, **options)


def images(size=8, batch=4):
  return jax.random.normal(jax.random.key(0), (batch, size, size, 3))


def shapes(model, size=32, **options):
  return jax.eval_shape(
    functools.partial(model.init_with_output, train=True, **options),
    {name: jax.random.key(0) for name in ('params', 'noise', 'drop_path')},
    images(size),
  )


@pytest.mark.parametrize('name', published.GENOTYPES)
def test_published_genotypes_build(name):
  cells = published.GENOTYPES[name]
  model = Network(cells, layers=6, channels=4, classes=7, auxiliary=True)
  (logits, auxiliary), variables = shapes(model, drop_path=0.2)
  assert logits.shape == auxiliary.shape == (4, 7)
  # Two reduction cells have doubled the channels twice.
  width = 16 * len(cells.normal_concat)
  kernel = variables['params']['classifier']['linear']['kernel']
  assert kernel.shape == (width, 7)


@pytest.mark.parametrize('name', ['NASNet', 'AmoebaNet'])
def test_cells_concatenate_their_concat(name):
  cells = published.GENOTYPES[name]
  x = jnp.zeros((2, 9, 9, 12))
  for reduction in (False, True):
    edges = cells.reduce if reduction else cells.normal
    concat = cells.reduce_concat if reduction else cells.normal_concat
    cell = Cell(edges, concat, 8, reduction, after_reduction=False)
    init = functools.partial(cell.init_with_output, train=False)
    y, _ = jax.eval_shape(init, jax.random.key(0), x, x)
    assert y.shape == (2, *(2 * [5 if reduction else 9]), 8 * len(concat))


def test_same_operation_twice_has_weights_of_its_own():
  _, variables = shapes(small(('sep_conv_3x3', 0), ('sep_conv_3x3', 0)))
  edges = variables['params']['cell0']
  assert edges['edge0']['weights']['depthwise'].shape == (2, 3, 3, 2)
  assert edges['edge1']['weights']['depthwise'].shape == (2, 3, 3, 2)
  assert edges['edge0']['norm1']['scale'].shape == (2,)


def test_init_does_not_depend_on_training():
  model = small((AVG, 0), (SKIP, 1), auxiliary=True)
  _, variables = shapes(model)
  init = functools.partial(model.init, train=False)
  assert variables == jax.eval_shape(init, jax.random.key(0), images(32))
  assert 'auxiliary_head' in variables['params']


def test_drop_path_factors():
  draw = functools.partial(drop_path_factors, jax.random.key(1))
  np.testing.assert_array_equal(draw(0.0, (50,)), np.ones(50))
  factors = np.asarray(draw(0.3, (100_000,)))
  np.testing.assert_allclose(np.unique(factors), [0, 1 / 0.7], rtol=1e-6)
  # Five standard deviations of the mean: sqrt(0.3 / 0.7 / 100000) each.
  assert abs(factors.mean() - 1) < 0.011
  np.testing.assert_array_equal(factors, draw(0.3, (100_000,)))


def test_drop_path_spares_identities_alone():
  x = images()[..., :2]
  drop = jnp.zeros(len(x))

  def dropped(operation, stride):
    y, _ = Operation(operation, 2, stride).init_with_output(
      jax.random.key(0), x, train=True, factors_B=drop
    )
    return not np.any(y)

  np.testing.assert_array_equal(
    Operation(SKIP, 2, 1).apply({'params': {'weights': {}}}, x, True, drop), x
  )
  assert dropped(SKIP, stride=2)
  assert dropped(AVG, stride=1)


def test_drop_path_in_a_network():
  model = small((AVG, 0), (SKIP, 1))
  x = images()
  variables = jax.jit(functools.partial(model.init, train=True))(
    jax.random.key(0), x
  )

  @jax.jit
  def logits(rate, seed):
    (y, _), _ = model.apply(
      variables,
      x,
      train=True,
      drop_path=rate,
      rngs={'drop_path': jax.random.key(seed)},
      mutable=['batch_stats'],
    )
    return y

  # As a number, 0 draws nothing and asks for no stream.
  plain_apply = functools.partial(
    model.apply, train=True, mutable=['batch_stats']
  )
  (plain, _), _ = jax.jit(plain_apply)(variables, x)
  np.testing.assert_allclose(logits(0.0, 0), plain, rtol=1e-5, atol=1e-6)
  np.testing.assert_array_equal(logits(0.5, 0), logits(0.5, 0))
  assert np.abs(logits(0.5, 0) - logits(0.5, 1)).max() > 1e-3
  # Nor is anything dropped in evaluation.
  evaluate = functools.partial(model.apply, train=False, drop_path=0.5)
  jax.eval_shape(evaluate, variables, x)


def test_auxiliary_logits_are_for_training():
  with_head = small((AVG, 0), (SKIP, 1), auxiliary=True)
  without = small((AVG, 0), (SKIP, 1))
  for model, train, expected in (
    (with_head, True, (4, 3)),
    (with_head, False, None),
    (without, True, None),
  ):
    _, variables = shapes(model)
    apply = functools.partial(model.apply, train=train, mutable=['batch_stats'])
    (_, auxiliary), _ = jax.eval_shape(apply, variables, images(32))
    assert (auxiliary and auxiliary.shape) == expected


@pytest.mark.parametrize('size', [29, 32, 64])
def test_auxiliary_head_takes_larger_images(size):
  (_, auxiliary), variables = shapes(
    small((AVG, 0), (SKIP, 1), auxiliary=True), size
  )
  assert auxiliary.shape == (4, 3)
  head = variables['params']['auxiliary_head']
  assert head['conv1']['kernel'].shape == (2, 2, 128, 768)
  assert network.count_weights({'params': head}) == sum(
    (8 * 128 + 2 * 128, 4 * 128 * 768 + 2 * 768, 768 * 3 + 3)
  )


def test_auxiliary_head_refuses_smaller_images():
  model = small((AVG, 0), (SKIP, 1), auxiliary=True)
  with pytest.raises(UserError, match=r'8 x 8 .* got 7 x 7; set auxiliary=F'):
    shapes(model, size=28)
  shapes(small((AVG, 0), (SKIP, 1)), size=8)


def test_noise_and_none():
  cell = Cell((('noise', 0), ('none', 1)), (2,), 2, False, False)
  x = images()[..., :2]
  variables = cell.init(jax.random.key(0), x, x, train=False)

  def output(seed):
    rngs = {'noise': jax.random.key(seed)}
    return cell.apply(variables, x, x, train=False, rngs=rngs)

  np.testing.assert_array_equal(output(0), output(0))
  assert np.abs(output(0) - output(1)).max() > 0.1
  none = Operation('none', 2, 2)
  assert not np.any(none.apply({'params': {'weights': {}}}, x, False))
