"""Tests of SNAS: relaxed samples, temperature, resources, derivation."""

import jax
import numpy as np
import pytest
import tiny_search
import toys

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.cell import Edge
from opp_darts_jax.methods import snas as snas_lib
from opp_darts_jax.methods.samples import gumbel_softmax, key_of_each
from opp_darts_jax.methods.snas import snas
from opp_darts_jax.spaces.catalogue import SPACES

KEY = tiny_search.KEY
SPACE = tiny_search.space_of('s3', 'none', 'skip_connect', 'sep_conv_3x3')
MASK = SPACE.mask()
cost = jax.jit(snas_lib.cost, static_argnums=0)


def test_alphas_begin_near_one():
  alphas = snas().init(KEY, SPACE)
  flat = np.concatenate([np.ravel(table) for table in alphas.values()])
  assert 0 < np.abs(flat - 1).max() < 0.05


def test_samples_are_of_the_softmax_when_cold_and_uniform_when_hot():
  alphas = np.float32([[0.5, -1.0, 1.0]])
  active = np.ones((1, 3), bool)
  keys = jax.random.split(KEY, 4000)

  @jax.jit
  def draw(temperature):
    return jax.vmap(
      lambda key: gumbel_softmax(key, alphas, active, temperature)
    )(keys)[:, 0]

  cold, hot = np.asarray(draw(0.01)), np.asarray(draw(1e4))
  np.testing.assert_allclose(cold.sum(1), 1, rtol=1e-5)
  shares = np.exp(alphas[0]) / np.exp(alphas[0]).sum()
  np.testing.assert_allclose(cold.mean(0), shares, atol=0.03)
  np.testing.assert_allclose(hot, 1 / 3, atol=0.01)


def test_temperature_falls_to_the_least_in_the_last_epoch():
  method, alphas = snas(temperature_min=0.5), snas().init(KEY, SPACE)

  @jax.jit
  def samples(step, heat):
    draw = tiny_search.draw_of(step, epochs=4)
    got = method.weights(SPACE, alphas, MASK, draw)['reduce']
    key = key_of_each(KEY, SPACE)['reduce']
    return got, gumbel_softmax(key, alphas['reduce'], MASK['reduce'], heat)

  for epoch, heat in ((0, 0.875), (1, 0.75), (3, 0.5)):
    got, want = samples(np.int32(2 * epoch), np.float32(heat))
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_resource_term_is_of_the_sample_and_linear_in_it():
  costs = np.array([
    o.multiply_adds(16, 1, (32, 32)) for o in SPACE.operations
  ])  # fmt: skip
  table = np.tile(np.float32([0, 0, 1]), (5, 1))
  only = dict.fromkeys(SPACE.kinds, table)
  np.testing.assert_allclose(cost(SPACE, only), 5.0)  # Edges.
  half = dict.fromkeys(SPACE.kinds, table / 2)
  np.testing.assert_allclose(cost(SPACE, half), 2.5)
  gradient = jax.jit(jax.grad(lambda t: snas_lib.cost(SPACE, t)))(only)
  of_edge = np.asarray(gradient['normal'])[0]
  np.testing.assert_allclose(of_edge, costs / costs.max() / 2, rtol=1e-6)
  method = snas(resource=0.1)

  @jax.jit
  def term_and_cost(alphas):
    draw = tiny_search.draw_of(2)
    tables = method.weights(SPACE, alphas, MASK, draw)
    term = method.train_term(SPACE, alphas, MASK, draw)
    return term, 0.1 * snas_lib.cost(SPACE, tables)

  np.testing.assert_allclose(*term_and_cost(method.init(KEY, SPACE)))


def test_all_edges_stay_whose_strongest_operation_is_something():
  table = np.float32([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 2, 1], [0, 0, 3]])
  alphas = dict.fromkeys(SPACE.kinds, table)
  cell = tiny_search.derived(snas(), SPACE, alphas)['normal']
  assert cell.edges == (
    Edge('skip_connect', 1, 2),
    Edge('sep_conv_3x3', 0, 3),
    Edge('skip_connect', 1, 3),
    Edge('sep_conv_3x3', 2, 3),
  )
  bench = {'cell': np.tile(np.float32([1, 0, 0, 0, 0]), (6, 1))}
  found = tiny_search.derived(snas(), SPACES['nasbench201'], bench)
  assert found.operations == ('none',)


def test_unfit_arguments():
  with pytest.raises(UserError, match=r'above 0 .* got temperature_min=0 and'):
    snas(temperature_min=0)


def test_the_resource_term_counts_nothing_as_free():
  silent = toys.TOY  # Its operations with weights do not say what they take.
  with pytest.raises(
    UserError, match="'scale' does not say .* snas's resource term counts"
  ):
    snas(resource=0.1).check(SearchConfig(), silent)
  snas().check(SearchConfig(), silent)
  snas(resource=0.1).check(SearchConfig(), SPACE)
