"""Tests of Lambda-DARTS: agreement of cells, and the gradient that adds it."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search

from opp_darts_jax.errors import UserError
from opp_darts_jax.methods import lambda_darts as lambda_darts_lib
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.lambda_darts import lambda_darts

KEY = tiny_search.KEY
SPACE = tiny_search.space_of('s2', 'skip_connect', 'sep_conv_3x3', nodes=1)
mean_cosine = jax.jit(lambda_darts_lib.mean_cosine)
direction = jax.jit(lambda_darts_lib.direction)


def drawn(*shape):
  return np.float32(np.random.default_rng(0).standard_normal(shape))


def test_mean_cosine():
  a = drawn(4, 2, 3)
  flat = a.reshape(4, -1)
  units = flat / np.linalg.norm(flat, axis=1, keepdims=True)
  pairs = [units[i] @ units[j] for i in range(4) for j in range(i)]
  np.testing.assert_allclose(mean_cosine(a), np.mean(pairs), rtol=1e-5)


def test_direction_is_across_each_gradient_and_of_normal_cells():
  g = drawn(4, 2, 3)
  found = jax.device_get(direction({'normal': g, 'reduce': g}))
  assert not found['reduce'].any()
  towards = found['normal'].reshape(4, -1)
  flat = g.reshape(4, -1)
  np.testing.assert_allclose((towards * flat).sum(1), 0, atol=1e-6)
  lengths = np.linalg.norm(flat, axis=1, keepdims=True)
  units = flat / lengths
  total = units.sum(0)
  want = total - (units @ total)[:, None] * units
  want *= 2 / (4 * 3) / lengths
  np.testing.assert_allclose(towards, want, rtol=1e-4, atol=1e-6)
  same = np.tile(g[:1], (4, 1, 1))
  nothing = direction({'normal': same})['normal']
  np.testing.assert_allclose(nothing, 0, atol=1e-6)
  alone = jax.device_get(direction({'normal': g[:1]}))
  assert not alone['normal'].any()


def test_every_cell_has_darts_weights_of_its_own():
  mask = SPACE.mask()

  @jax.jit
  def tables_and_scores(alphas):
    draw = tiny_search.draw_of(cells=3)
    tables = lambda_darts().weights(SPACE, alphas, mask, draw)
    return tables, darts().scores(SPACE, alphas, mask)

  alphas = {kind: drawn(*table.shape) for kind, table in mask.items()}
  tables, want = jax.device_get(tables_and_scores(alphas))
  for kind in SPACE.kinds:
    np.testing.assert_array_equal(tables[kind], np.stack([want[kind]] * 3))


# L(w, A) = sum_l sum_k f(w)_lk A_lk + A_lk^3 / 3: its gradient for A is f(w) +
# A^2, so that Lambda's gradient for w is known.
def loss(weights, tables):
  return (jnp.tanh(weights) * tables).sum() + (tables**3).sum() / 3


def gradients_of(weights):
  table_gradient = jax.grad(loss, 1)
  return types.SimpleNamespace(
    weights=lambda t: (('loss', 'pass'), jax.grad(loss)(weights, t['normal'])),
    tables=lambda t: {'normal': table_gradient(weights, t['normal'])},
  )


@pytest.mark.parametrize('same', [False, True])
def test_weights_move_towards_agreement(same):
  weights = drawn(3, 2, 2)
  if same:
    weights[:] = weights[0]
  tables = {'normal': np.full((3, 2, 2), 0.5, np.float32)}
  method = lambda_darts(strength=0.5, reach=1e-2)

  @jax.jit
  def added(step):
    draw = tiny_search.draw_of(step, epochs=4)
    found, grads, own = method.weight_gradient(
      gradients_of(weights), tables, None, draw
    )
    assert found == ('loss', 'pass')
    return grads - jax.grad(loss)(weights, tables['normal'])

  def agreement(weights):
    g = jax.grad(loss, 1)(weights, tables['normal'])
    return lambda_darts_lib.mean_cosine(g)

  # Its factor begins at 0.
  np.testing.assert_array_equal(added(np.int32(0)), 0)
  want = 0
  if not same:
    want = -0.5 * np.asarray(jax.jit(jax.grad(agreement))(weights))
  np.testing.assert_allclose(added(np.int32(6)), want, rtol=0.02, atol=2e-4)


def test_unfit_arguments():
  with pytest.raises(UserError, match=r'reach above 0; .* and reach=0\.'):
    lambda_darts(reach=0)
