"""Tests of SDARTS: noise and ascent within reach, on the simplex."""

import types

import chex
import jax
import numpy as np
import pytest
import tiny_search
import toy_network

from opp_darts_jax.errors import UserError
from opp_darts_jax.methods import sdarts
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.sdarts import sdarts_adv, sdarts_rs

KEY = tiny_search.KEY
TABLES = {
  'normal': np.float32([[0.2, 0.3, 0.5], [0.0, 0.4, 0.6], [0.0, 0.0, 0.0]]),
  'reduce': np.full((3, 3), 1 / 3, np.float32),
}
noisy = jax.jit(sdarts.noisy)


def linear_loss(costs):
  """Gradients of a loss linear in the tables."""

  def evaluated(tables):
    loss = sum((tables[kind] * costs[kind]).sum() for kind in tables)
    return loss, costs

  return types.SimpleNamespace(evaluated=evaluated)


def check_simplex(tables):
  for kind, table in jax.device_get(tables).items():
    assert (table >= 0).all()
    assert not table[TABLES[kind] == 0].any()
    rows = TABLES[kind].any(-1)
    np.testing.assert_allclose(table.sum(-1), rows, rtol=1e-6)


def test_noise_stays_on_the_simplex():
  for seed in range(5):
    found = noisy(jax.random.key(seed), TABLES, np.float32(0.3))
    check_simplex(found)
    assert not np.array_equal(found['reduce'], TABLES['reduce'])
  same = noisy(KEY, TABLES, np.float32(0))
  chex.assert_trees_all_equal(same, TABLES)


def test_a_row_that_is_clipped_to_nothing_keeps_what_was_largest():
  found = jax.jit(sdarts.on_simplex)(
    np.float32([[-0.2, -0.1, 0.9], [1.5, 0.5, 0.2]]),
    np.float32([[0.5, 0.5, 0.0], [0.2, 0.2, 0.6]]),
  )
  np.testing.assert_allclose(found, [[0, 1, 0], np.array([1, 0.5, 0.2]) / 1.7])


def test_reach_grows_with_the_epochs():
  reaches = [
    float(sdarts.reach_of(tiny_search.draw_of(2 * e, 50).progress, 0.3))
    for e in (0, 25, 49)
  ]
  np.testing.assert_allclose(reaches, [0.03, 0.165, 0.2946], rtol=1e-5)
  # None is none from the start; tables are the same to the bit then.
  assert sdarts.reach_of(tiny_search.draw_of(0, 50).progress, 0.0) == 0


def test_ascent_finds_a_larger_loss_within_reach():
  costs = {
    'normal': np.float32([[1, -1, 0], [0, 2, 1], [0, 0, 0]]),
    'reduce': np.float32([[1, 2, 4]] * 3),
  }
  gradients = linear_loss(costs)

  @jax.jit
  def ascend(reach):
    return sdarts.ascend(gradients, TABLES, reach, 7, KEY)

  found = jax.device_get(ascend(np.float32(0.1)))
  check_simplex(found)
  before, after = (gradients.evaluated(t)[0] for t in (TABLES, found))
  assert after > before + 0.1
  # All of a row's signs are alike here: it goes to the corner of the box, and
  # normalised that is where it began.
  row = np.array([0.2 + 0.1, 0.3 - 0.1, 0.5])
  np.testing.assert_allclose(found['normal'][0, :2], row[:2] / row.sum(), 0.2)
  same = ascend(np.float32(0))
  chex.assert_trees_all_equal(same, TABLES)


def test_ascent_that_loses_is_given_up():
  drawn = np.random.default_rng(0).standard_normal((3, 3))
  costs = dict.fromkeys(TABLES, np.float32(drawn))

  def evaluated(tables):  # The gradient points where the loss falls.
    loss, grads = linear_loss(costs).evaluated(tables)
    return loss, jax.tree.map(np.negative, grads)

  gradients = types.SimpleNamespace(evaluated=evaluated)

  @jax.jit
  def ascend(reach):
    return sdarts.ascend(gradients, TABLES, reach, 7, KEY)

  found = ascend(np.float32(0.2))
  chex.assert_trees_all_equal(found, TABLES)


# Of several operations, so that their gradients have either sign.
SPACE = tiny_search.space_of(
  's', 'none', 'skip_connect', 'sep_conv_3x3', 'max_pool_3x3', nodes=1
)


# DARTS, whose weights move by themselves as those of SDARTS do.
PLAIN = darts()._replace(
  weight_gradient=lambda gradients, tables, own, draw: (
    *gradients.weights(tables),
    own,
  )
)


def stepped(method):
  return toy_network.stepped(*toy_network.search_of(method, space=SPACE))[0]


@pytest.mark.parametrize('make', [sdarts_rs, sdarts_adv])
def test_alphas_know_nothing_of_it(make):
  plain, perturbed = map(stepped, (PLAIN, make(reach=0.3)))
  chex.assert_trees_all_close(perturbed.alphas, plain.alphas, rtol=1e-5)
  assert not np.array_equal(perturbed.weights['head'], plain.weights['head'])


def test_unfit_arguments():
  with pytest.raises(UserError, match=r'reach of at least 0; got reach=-1'):
    sdarts_rs(-1)
  with pytest.raises(UserError, match=r'at least 1; got ascent_steps=0'):
    sdarts_adv(ascent_steps=0)
