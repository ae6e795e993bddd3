"""Tests of PC-DARTS: partial channels, edge weights, warm-up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.graph import CellGraph
from opp_darts_jax.methods import pc_darts as pc_darts_lib
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.pc_darts import pc_darts
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.spaces.catalogue import SPACES
from opp_darts_jax.supernet.supernet import Supernet

KEY = tiny_search.KEY
SPACE = tiny_search.space_of('s3', 'none', 'skip_connect', 'sep_conv_3x3')
# Edges of two nodes: 0 and 1 lead into the first, 2 to 4 into the second.
INTO = [[0, 1], [2, 3, 4]]
edge_shares = jax.jit(pc_darts_lib.edge_shares, static_argnums=0)


def params_of(space):
  """Alphas and edge weights that differ."""
  shapes = jax.eval_shape(lambda: pc_darts().init(KEY, space))
  numbers = np.random.default_rng(0)
  return jax.tree.map(
    lambda s: np.float32(numbers.standard_normal(s.shape)), shapes
  )


def test_parameters_are_small_and_of_every_edge():
  params = jax.device_get(jax.jit(lambda: pc_darts().init(KEY, SPACE))())
  assert set(params) == {'normal', 'reduce', 'edges'}
  leaves = jax.tree.leaves(params)
  assert sorted(leaf.shape for leaf in leaves) == [(5,), (5,), (5, 3), (5, 3)]
  flat = np.concatenate([leaf.ravel() for leaf in leaves])
  assert len(set(flat.tolist())) == len(flat)
  assert 0 < np.abs(flat).max() < 6e-3


def test_shares_of_the_edges_into_a_node_sum_to_one():
  edges = np.float32([0.3, -2.0, 1.0, 0.0, 5.0])
  shares = edge_shares(CellGraph(2, 2), edges, np.ones((5, 3), bool))
  for into in INTO:
    exps = np.exp(edges[into])
    np.testing.assert_allclose(
      np.asarray(shares)[into], exps / exps.sum(), 1e-6
    )


def test_edges_without_active_operations_have_no_share():
  mask = np.zeros((5, 3), bool)
  mask[1] = True
  edges = np.arange(5, dtype=np.float32)
  shares = edge_shares(CellGraph(2, 2), edges, mask)
  np.testing.assert_array_equal(shares, [0, 1, 0, 0, 0])

  @jax.jit
  def scores_and_trained(params):
    masks = dict.fromkeys(SPACE.kinds, mask)
    scores = pc_darts_lib.scores(SPACE, params, masks)
    return scores, pc_darts_lib.trained(params, masks)

  found = scores_and_trained(params_of(SPACE))
  tables, trained = jax.device_get(found)
  np.testing.assert_array_equal(tables['normal'][[0, 2, 3, 4]], 0)
  np.testing.assert_allclose(tables['normal'][1].sum(), 1, rtol=1e-6)
  assert trained['edges']['reduce'].tolist() == [False, True] + [False] * 3


def test_weights_are_products_of_both_softmaxes():
  params, mask = params_of(SPACE), SPACE.mask()

  @jax.jit
  def weights_and_shares(params):
    draw = tiny_search.draw_of()
    weights = pc_darts().weights(SPACE, params, mask, draw)
    return weights, darts().scores(SPACE, params, mask)

  weights, shares = jax.device_get(weights_and_shares(params))
  for kind in SPACE.kinds:
    edges = edge_shares(SPACE.graph, params['edges'][kind], mask[kind])
    edges = np.asarray(edges)
    np.testing.assert_allclose(
      weights[kind], shares[kind] * edges[:, None], rtol=1e-6
    )
    np.testing.assert_allclose(weights[kind].sum(), 2, rtol=1e-6)


def test_shuffle():
  shuffle = jax.jit(pc_darts_lib.shuffle, static_argnums=1)
  shuffled = shuffle(np.arange(8), 4)
  assert shuffled.tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
  x = np.arange(24, dtype=np.float32).reshape(2, 12)
  np.testing.assert_array_equal(
    np.asarray(shuffle(x, 3))[1], 12 + np.array([0, 4, 8] * 4)
    + np.repeat(np.arange(4), 3)
  )  # fmt: skip
  np.testing.assert_array_equal(shuffle(x, 1), x)


def test_operations_see_the_first_part_and_the_rest_is_put_behind():
  partial = pc_darts_lib.partial_channels(4)
  assert partial.channels(16) == 4
  x = np.float32(np.random.default_rng(0).standard_normal((2, 5, 7, 8)))

  @jax.jit
  def run(x):
    seen, rest = partial.split(x)
    assert partial.beside(rest, 1) is rest
    return seen, partial.join(seen, rest), pc_darts_lib.shuffle(x, 4)

  seen, joined, shuffled = run(x)
  np.testing.assert_array_equal(seen, x[..., :2])
  np.testing.assert_array_equal(joined, shuffled)


@pytest.mark.parametrize('size', [(4, 6), (5, 7)])
def test_the_rest_is_pooled_2x2_where_a_cell_reduces(size):
  rest = np.random.default_rng(0).random((2, *size, 3), np.float32)
  rest -= 5  # All below 0.
  beside = pc_darts_lib.partial_channels(4).beside
  got = jax.jit(beside, static_argnums=1)(rest, 2)
  height, width = ((n + 1) // 2 for n in size)
  want = np.array(
    [
      [
        rest[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max((1, 2))
        for j in range(width)
      ]
      for i in range(height)
    ]
  )
  np.testing.assert_array_equal(got, want.transpose(2, 0, 1, 3))


def test_all_channels_and_equal_edges_are_darts_over_the_number_of_edges():
  method = pc_darts(partial=1)
  models = [
    Supernet(SPACE, layers=2, channels=2, classes=3, partial=partial)
    for partial in (None, method.partial)
  ]
  images, mask = tiny_search.batches()[0].images, tiny_search.mask_of(SPACE)
  params = params_of(SPACE)
  params['edges'] = jax.tree.map(np.zeros_like, params['edges'])

  @jax.jit
  def weights_and_divided(params):
    into = np.float32([2, 2, 3, 3, 3])[:, None]
    weights = method.weights(SPACE, params, mask, tiny_search.draw_of())
    shares = darts().scores(SPACE, params, mask)
    return weights, {kind: table / into for kind, table in shares.items()}

  weights, divided = weights_and_divided(params)
  variables = tiny_search.random_variables(models[0], images, weights, mask)
  plain, partial = (
    np.asarray(
      jax.jit(
        lambda tables, model=model: model.apply(
          variables, images, tables, mask, True, mutable=['batch_stats']
        )[0]
      )(tables)
    )
    for model, tables in zip(models, (divided, weights))
  )
  np.testing.assert_allclose(partial, plain, rtol=1e-4, atol=1e-5)
  assert np.abs(plain - plain[0]).max() > 1e-3


def test_derivation_ranks_edges_by_both():
  # The operation of an edge is by alpha alone; which edges stay, by beta too.
  normal, reduce = np.zeros((2, 5, 3), np.float32)
  normal[:, 2] = reduce[:, 2] = [0, 0, 3, 2, 1]
  normal[3, 1] = 5
  edges = {'normal': np.float32([0, 1, -4, 0, 2]), 'reduce': np.zeros(5)}
  params = {'normal': normal, 'reduce': reduce, 'edges': edges}
  mask = tiny_search.mask_of(SPACE)
  state = SearchState(None, None, None, params, mask, None, None)
  method = pc_darts()
  found = method.derive(method, tiny_search.search_of(SPACE), state)
  by_edges = [(e.operation, e.source) for e in found['normal'].edges]
  assert by_edges[2:] == [('sep_conv_3x3', 2), ('skip_connect', 1)]
  assert by_edges[0][1] == 1
  by_alphas = [edge.source for edge in found['reduce'].edges]
  assert by_alphas[2:] == [0, 1]


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ({'partial': 0}, 'partial of at least 1 .* got partial=0'),
    ({'partial': 2.5}, 'got partial=2.5'),
    ({'partial': 'four'}, "got partial='four'"),
    ({'warmup_epochs': -1}, 'got partial=4 and warmup_epochs=-1'),
    ({'warmup_epochs': None}, 'warmup_epochs=None'),
  ],
)
def test_unfit_arguments(arguments, message):
  with pytest.raises(UserError, match=message):
    pc_darts(**arguments)


def test_unfit_configs():
  method = pc_darts(partial=4, warmup_epochs=15)
  method.check(SearchConfig(channels=16, epochs=16), SPACE)
  with pytest.raises(UserError, match='multiple of 4, .* got 18'):
    method.check(SearchConfig(channels=18), SPACE)
  with pytest.raises(UserError, match='epochs must be above 15, .* got 15'):
    method.check(SearchConfig(epochs=15), SPACE)


def test_warm_up():
  method = pc_darts(warmup_epochs=2)
  begun = [
    bool(method.trains_alphas(tiny_search.draw_of(step).progress))
    for step in range(6)  # Two an epoch.
  ]
  assert begun == [False] * 4 + [True] * 2
  assert pc_darts(warmup_epochs=0).trains_alphas is None


def test_supernet_has_weights_for_the_channels_that_operations_see():
  def shapes(space, partial):
    model = Supernet(space, 3, 8, 3, partial=partial)
    mask = tiny_search.mask_of(space)
    images = jnp.zeros((2, 8, 8, 1))
    return jax.eval_shape(
      lambda: model.init(KEY, images, mask, mask, train=True)
    )['params']

  whole, part = (
    shapes(SPACE, partial) for partial in (None, pc_darts(4).partial)
  )
  assert whole['cell0']['sep_conv_3x3']['pointwise'].shape == (5, 2, 8, 8)
  assert part['cell0']['sep_conv_3x3']['pointwise'].shape == (5, 2, 2, 2)
  assert part['cell0']['preprocess'] == whole['cell0']['preprocess']
  bench = shapes(SPACES['nasbench201'], pc_darts(4).partial)
  assert bench['cell2']['nor_conv_3x3']['kernel'].shape == (6, 3, 3, 8, 8)
