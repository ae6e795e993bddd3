"""Tests of the alphas and their softmax."""

import chex
import jax
import numpy as np
import pytest
import tiny_search

from opp_darts_jax.methods import tables as tables_lib
from opp_darts_jax.operations.catalogue import OPERATIONS
from opp_darts_jax.spaces.space import Space

SPACE = tiny_search.space_of('s3', 'none', 'skip_connect', 'sep_conv_3x3')
MASK = {
  'normal': np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1]], bool),
  'reduce': np.array([[0, 0, 1], [0, 0, 0], [1, 1, 0], [0, 1, 1]], bool),
}
softmax_weights = jax.jit(tables_lib.softmax_weights, static_argnums=0)


def some_tables(seed=0, scale=1.0):
  rng = np.random.default_rng(seed)
  return {
    cell: np.float32(scale * rng.standard_normal(mask_EK.shape))
    for cell, mask_EK in MASK.items()
  }


def test_init_is_small_and_differs_between_the_cells():
  operations = tuple(
    OPERATIONS['sep_conv_3x3']._replace(name=str(i)) for i in range(40)
  )
  space = Space('wide', operations).with_nodes(8)
  init = jax.jit(tables_lib.init_alphas, static_argnums=1)
  alphas = jax.device_get(init(jax.random.key(0), space))
  assert list(alphas) == ['normal', 'reduce']
  for table in alphas.values():
    chex.assert_shape(table, (44, 40))
    np.testing.assert_allclose(table.std(), 1e-3, rtol=0.1)
    assert abs(table.mean()) < 1e-4
  assert not np.array_equal(*alphas.values())


def test_weights_are_the_softmax_of_the_active_operations():
  alphas = some_tables(scale=3)
  weights = jax.device_get(softmax_weights(SPACE, alphas, MASK))
  for cell in SPACE.kinds:
    mask, table = MASK[cell], np.float64(alphas[cell])
    exps = np.exp(table) * mask
    total = exps.sum(1, keepdims=True)
    want = np.divide(exps, total, out=np.zeros_like(exps), where=total > 0)
    np.testing.assert_allclose(weights[cell], want, rtol=1e-5)
    assert (weights[cell][~mask] == 0).all()
    np.testing.assert_allclose(
      weights[cell].sum(1), mask.any(1).astype(float), rtol=1e-6
    )


@pytest.mark.parametrize('size', [1e3, -1e3])
def test_weights_of_large_alphas_are_numbers(size):
  mask = np.array([[True, True, False]])
  alphas = np.float32([[size, size - 200, 0.0]])
  shares = jax.jit(tables_lib.masked_softmax)(alphas, mask)
  np.testing.assert_array_equal(shares, [[1, 0, 0]])


def test_gradients_of_the_weights_stay_within_the_mask():
  factors = some_tables(1)

  def loss(alphas):
    weights = tables_lib.softmax_weights(SPACE, alphas, MASK)
    total = sum((w * factors[cell]).sum() for cell, w in weights.items())
    return total, weights

  gradient = jax.jit(jax.grad(loss, has_aux=True))
  grads, weights = jax.device_get(gradient(some_tables()))
  for cell, p in weights.items():
    mean = (p * factors[cell]).sum(1, keepdims=True)
    np.testing.assert_allclose(
      grads[cell], p * (factors[cell] - mean), atol=1e-6
    )
    assert (grads[cell][~MASK[cell]] == 0).all()
