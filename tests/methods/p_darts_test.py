"""Tests of P-DARTS: stages, dropout, the limit of skip connections."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search
import toy_network

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.methods import p_darts as p_darts_lib
from opp_darts_jax.methods.loss import table_loss
from opp_darts_jax.methods.p_darts import p_darts
from opp_darts_jax.methods.stages import Stage
from opp_darts_jax.operations.plain import skip_connect

KEY = tiny_search.KEY
NAMES = 'none', 'max_pool_3x3', 'skip_connect', 'sep_conv_3x3'
SPACE = tiny_search.space_of('s', *NAMES)
METHOD = p_darts(keep=(3, 2), warmup_epochs=1)
CONFIG = SearchConfig(epochs=9, layers=5)


def test_dropout_decays_within_a_stage():
  rates = [p_darts_lib.rate_of(0.4, e, 25, 10) for e in (0, 9, 10, 15)]
  want = [0.4 * 24 / 25, 0.4 * 0.6, 0.4, 0.4 * np.exp(-1)]
  np.testing.assert_allclose(rates, want)


def test_dropout_keeps_the_mean_and_is_of_stride_1_alone():
  operation = p_darts_lib.dropping(skip_connect())
  x = np.ones((4, 20, 20, 4), np.float32)

  @jax.jit
  def apply(rate):
    return operation.apply({'rate': rate}, x, None, 1, KEY)

  y = np.asarray(apply(np.float32(0.3)))
  np.testing.assert_allclose(np.unique(y), [0, 1 / 0.7], rtol=1e-6)
  np.testing.assert_allclose(y.mean(), 1, atol=0.03)
  np.testing.assert_array_equal(apply(np.float32(0)), x)
  # A draw gives two channels, which are of no influence on each other.
  chosen = jax.jit(p_darts_lib.chosen, static_argnums=2)
  kept = np.asarray(chosen(KEY, np.float32(0.25), (4, 50, 50, 5)))
  np.testing.assert_allclose(kept.mean((0, 1, 2)), 0.25, atol=0.02)
  both = (kept[..., ::2][..., :2] & kept[..., 1::2]).mean()
  np.testing.assert_allclose(both, 0.25**2, atol=0.01)
  shapes = jax.eval_shape(lambda: operation.init(KEY, (5,), 4, 2))
  assert shapes['rate'].shape == (5,)
  assert shapes['pointwise'].shape == (5, 2, 4, 2)


@pytest.mark.parametrize('layout', ['loop', 'copies', 'lanes'])
def test_cells_of_both_strides_take_it(layout):
  # There it has weights on all edges, but a norm on those of stride 2 alone.
  task = tiny_search.task_of(SPACE, METHOD, layout=layout, layers=2, channels=2)
  shapes = tiny_search.shapes_of(task)
  train = tiny_search.batches()[0]

  def run(state):
    loss = table_loss(task, state.batch_stats, state.mask)
    tables = METHOD.weights(SPACE, state.alphas, state.mask, None)
    return loss(state.weights, tables, train, KEY)[1].batch_stats

  chex.assert_trees_all_equal_shapes(
    jax.eval_shape(run, shapes), shapes.batch_stats
  )


def test_rates_are_set_and_rest():
  task = tiny_search.task_of(SPACE, METHOD, layers=1)
  weights = jax.tree.map(
    lambda s: np.ones(s.shape), tiny_search.shapes_of(task).weights
  )
  found = p_darts_lib.with_rate(weights, 0.25)
  moves = METHOD.moves(None, weights)
  for (path, leaf), move in zip(
    jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(moves)
  ):
    is_rate = "['rate']" in jax.tree_util.keystr(path)
    assert (leaf == (0.25 if is_rate else 1.0)).all()
    assert (move != is_rate).all()
  assert found['cell0']['skip_connect']['rate'].shape == (5,)


class Live:
  """A search whose states are of as many cells as its layers."""

  space, config, key = SPACE, CONFIG, KEY

  def resized(self, layers):
    live = Live()
    live.config = dataclasses.replace(CONFIG, layers=layers)
    return live

  def fresh(self, key):
    _, state = toy_network.search_of(METHOD, space=SPACE)
    return state.replace(weights={'depth': jnp.float32(self.config.layers)})


def test_stages_get_deeper_and_lose_operations():
  search = Live()
  state = search.fresh(KEY)
  stages = [Stage(0, SPACE.names, {})]
  alphas = {k: jnp.array([[0.0, 3, 2, 1]] * 5) for k in SPACE.kinds}
  layers, active = [], []
  for epoch in range(1, 9):
    state = state.replace(alphas=alphas, step=jnp.int32(2 * epoch))
    change = METHOD.begin_epoch(search, state, epoch, stages)
    search, state = change.search or search, change.state
    assert state.step == 2 * epoch
    anew = epoch in (3, 6)
    assert (change.search is not None) == anew
    assert anew != np.array_equal(state.alphas['normal'], alphas['normal'])
    layers.append((search.config.layers, float(state.weights['depth'])))
    active.append(state.mask['reduce'][0].astype(int).tolist())
  assert layers == [(5, 5)] * 2 + [(11, 11)] * 3 + [(17, 17)] * 3
  assert active[1] == [1, 1, 1, 1]
  assert active[2] == [0, 1, 1, 1]
  assert active[5] == [0, 1, 1, 0]


def test_rates_and_warm_up_begin_anew_with_each_stage():
  rates = [METHOD.learning_rate(CONFIG, epoch, [0]) for epoch in range(9)]
  np.testing.assert_allclose(rates[3:6], rates[:3])
  np.testing.assert_allclose(rates[6:], rates[:3])
  # Operations that entered in the first are nothing to begin from in the next.
  config = dataclasses.replace(
    CONFIG, schedule=ScheduleConfig(cosine='reanchored')
  )
  anchored = [METHOD.learning_rate(config, e, [0, 1, 2]) for e in range(9)]
  assert anchored[2] != rates[2]
  assert anchored[3:] == rates[3:]
  assert rates[0] == 0.025 > rates[1] > rates[2] > 0.001
  begun = [
    bool(METHOD.trains_alphas(tiny_search.draw_of(2 * e, 9).progress))
    for e in range(9)
  ]
  assert begun == [False, True, True] * 3


def test_the_normal_cell_has_few_skips():
  # Skips are strongest, in this order; without one, pools are on edges 0, 1, 4.
  scores = np.zeros((5, 4))
  scores[:, 2] = 0.9, 0.8, 0.7, 0.6, 0.65
  scores[:, 1] = 0.1, 0.2, 0.0, 0.0, 0.68
  scores[:, 3] = 0.0, 0.0, 0.1, 0.3, 0.0
  scores[:, 0] = 1.0
  both = {'normal': scores, 'reduce': scores}
  found = {
    most: p_darts_lib.with_few_skips(SPACE, both, most) for most in range(5)
  }
  counts = [found[most].num_skips('normal') for most in range(5)]
  assert counts == [0, 1, 2, 3, 3]
  assert all(found[most].num_skips('reduce') == 3 for most in range(5))
  edges = {e[1:]: e.operation for e in found[2]['normal'].edges}
  assert edges == {
    (0, 2): 'skip_connect',
    (1, 2): 'skip_connect',
    (2, 3): 'max_pool_3x3',
    (1, 3): 'sep_conv_3x3',
  }
  for most in range(5):
    nodes = [e.node for e in found[most]['normal'].edges]
    assert sorted(nodes) == [2, 2, 3, 3]


def test_unfit_arguments():
  plain = ScheduleConfig('plain')
  METHOD.check(SearchConfig(epochs=6, schedule=plain), SPACE)
  with pytest.raises(UserError, match='before the second stage of p_darts'):
    METHOD.check(SearchConfig(epochs=6), SPACE)
  with pytest.raises(UserError, match=r'multiple of 3, .* got 8'):
    METHOD.check(SearchConfig(epochs=8), SPACE)
  with pytest.raises(UserError, match=r'more than 1, .* got 3'):
    METHOD.check(SearchConfig(epochs=3), SPACE)
  with pytest.raises(UserError, match=r'got more_layers=\(1,\), keep='):
    p_darts(more_layers=(1,))
