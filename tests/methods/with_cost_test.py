"""Tests of the cost term: what it expects, what it pushes, what derives."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search
import toy_network

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.methods import expected_cost
from opp_darts_jax.methods import with_cost as lib
from opp_darts_jax.methods.catalogue import METHODS
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.darts_pt import darts_pt
from opp_darts_jax.methods.early_stopping import early_stopping
from opp_darts_jax.methods.freezing import freezing
from opp_darts_jax.methods.nested import keep, kept
from opp_darts_jax.methods.progressive import progressive
from opp_darts_jax.methods.with_cost import with_cost
from opp_darts_jax.networks import costs as costs_lib
from opp_darts_jax.spaces.catalogue import SPACES
from opp_darts_jax.spaces.space import derive_every_edge

SPACE = tiny_search.space_of(
  'c', 'none', 'skip_connect', 'sep_conv_3x3', 'sep_conv_5x5'
)
SITES = costs_lib.sites_of(SPACE, 3, 4, (8, 8, 1), 3)
COSTS = costs_lib.counted(SPACE, SITES, 'multiply_adds')
LEAST, MOST = costs_lib.bounds(COSTS, SPACE, SPACE.mask())


expected = jax.jit(expected_cost.expected, static_argnums=(0, 2, 3))
gradient = jax.jit(jax.grad(expected_cost.expected, 1), static_argnums=(0, 2))


def random_scores():
  numbers = np.random.default_rng(0)
  exps = {kind: np.exp(numbers.standard_normal((5, 4))) for kind in SPACE.kinds}
  return {k: np.float32(e / e.sum(1, keepdims=True)) for k, e in exps.items()}


def state_of(method, alphas):
  own = method.init_own(SPACE, {})
  alphas = jax.device_put(alphas)
  mask = tiny_search.mask_of(SPACE)
  _, state = toy_network.search_of(darts(), space=SPACE)
  return state.replace(alphas=alphas, mask=mask, own=own)


def test_of_decided_scores_the_expectation_is_the_cells_cost():
  genotype = SPACE.derive(SPACE, random_scores())
  decided = {}
  for kind in SPACE.kinds:
    table = np.zeros((5, 4), np.float32)
    table[:, 0] = 1  # None on the edges that are not kept.
    for edge in genotype[kind].edges:
      row = SPACE.graph.edge_index(edge.source, edge.node)
      table[row] = np.eye(4)[SPACE.names.index(edge.operation)]
    decided[kind] = table
  found = expected(SPACE, decided, COSTS)
  np.testing.assert_allclose(found, COSTS.of(genotype), rtol=1e-5)


def test_the_expectation_is_the_mean_over_all_draws():
  scores = random_scores()
  total = COSTS.fixed
  for kind in SPACE.kinds:
    score = scores[kind][:, 1:]
    cost = COSTS.table(kind)[:, 1:]
    mean = (score / score.sum(1, keepdims=True) * cost).sum(1)
    for node in SPACE.graph.intermediate:
      rows = SPACE.graph.into(node)
      strength = score.max(1)
      for one, other in itertools.permutations(rows, 2):
        first = strength[one] / strength[list(rows)].sum()
        left = strength[list(rows)].sum() - strength[one]
        total += first * strength[other] / left * (mean[one] + mean[other])
  found = expected(SPACE, scores, COSTS)
  np.testing.assert_allclose(found, total, rtol=1e-5)
  by_normal = np.asarray(gradient(SPACE, scores, COSTS)['normal'])
  # The dearest operation of an edge costs more, the free one less.
  assert (by_normal[:, 3] > by_normal[:, 1]).all()


@pytest.mark.parametrize('share', [0.1, 0.5, 0.9])
def test_what_is_derived_meets_the_target(share):
  target = LEAST + share * (MOST - LEAST)
  method = with_cost(darts(), COSTS, target)
  alphas = jax.tree.map(lambda s: np.float32(0.1) * np.log(s), random_scores())
  state = state_of(method, alphas)
  search = tiny_search.search_of(SPACE)
  found = method.derive(method, search, state)
  numbers = method.numbers(search, state, found)
  assert numbers['cost'] == COSTS.of(found)
  assert numbers['cost_target'] == target
  alone = darts().derive(darts(), search, state)
  assert numbers['cost_of_alphas'] == COSTS.of(alone)
  off = abs(numbers['cost'] - target)
  assert off <= abs(COSTS.of(alone) - target)
  assert off < 0.05 * target
  # One that is close already stays as it is.
  close = with_cost(darts(), COSTS, COSTS.of(alone) * 1.005)
  assert close.derive(close, search, state) == alone


def test_an_operation_that_is_not_there_may_cost_more_than_the_target():
  tables = tuple((kind, ((0.0, 0.0, 1.0, 8.0),) * 5) for kind in SPACE.kinds)
  costs = COSTS._replace(fixed=1.0, tables=tables)
  method = with_cost(darts(), costs, 5.0)
  alphas = jax.tree.map(np.log, random_scores())
  for table in alphas.values():
    table[:, 1] = 3
  mask = tiny_search.mask_of(SPACE, *SPACE.names[:3])
  state = state_of(method, alphas).replace(mask=mask)
  search = tiny_search.search_of(SPACE)
  assert costs.of(darts().derive(darts(), search, state)) == 1
  assert costs.of(method.derive(method, search, state)) == 5


@pytest.mark.parametrize('sign', [1, -1])
def test_an_edge_that_leads_past_the_target_stays_as_it_is(sign):
  # On each edge a dear operation is given up at some factor, or taken from the
  # negative of it on; on one edge it is most of the cost, and goes first.
  costs = np.array([[0.6, 0.1, 0.1], [0.1, 0.05, 0.05]])
  given_up_at = sign * np.array([[0.5, 3.0, 2.0], [1.0, 4.0, 5.0]])
  seen = []

  def at(factors):
    seen.append(given_up_at > factors)
    return seen[-1]

  def violation(dear):
    return (costs * dear).sum() / target - 1

  target = 0.8 if sign > 0 else 0.2
  found = lib.closest(at, violation, costs.shape)
  want = [[True, True, False], [False, True, True]]
  np.testing.assert_array_equal(found, want if sign > 0 else np.invert(want))
  assert len(seen) < 100
  # What none of them comes close to is missed by as little as there is.
  target = 0.01
  none = lib.closest(at, violation, costs.shape)
  assert not none.any()


def test_the_price_follows_the_violation():
  method = with_cost(darts(), COSTS, (LEAST + MOST) / 2, 2.0)
  dear = dict.fromkeys(SPACE.kinds, np.tile(np.float32([0, 0, 0, 1]), (5, 1)))
  state = state_of(method, dear)
  search = tiny_search.search_of(SPACE, per_epoch=2)
  stages = [object()]  # All operations have entered.
  over = (MOST - (LEAST + MOST) / 2) / ((LEAST + MOST) / 2)
  for epoch, price in ((1, 2 * over + 2 * over), (2, 4 * over + 2 * over)):
    state = method.begin_epoch(search, state, epoch, stages).state
    np.testing.assert_allclose(kept(state.own)['price'], price, rtol=1e-5)
  # What is not there yet is not missed: only the dearest is.
  only = tiny_search.mask_of(SPACE, 'sep_conv_5x5')
  after = method.begin_epoch(search, state.replace(mask=only), 3, stages).state
  np.testing.assert_allclose(kept(after.own)['price'], 4 * over, rtol=1e-5)


@pytest.mark.parametrize('name', ['darts', 'snas'])
def test_alphas_move_to_what_is_cheaper(name):
  method = with_cost(METHODS[name](), COSTS, (LEAST + MOST) / 2)
  task, state = toy_network.search_of(method, space=SPACE)
  priced = {'multiplier': jnp.float32(0), 'price': jnp.float32(1e4)}
  after, metrics = toy_network.stepped(task, keep(state, priced))
  assert metrics.train_loss < 10  # Metrics are of the cross entropy alone.
  before, after = jax.device_get((state.alphas, after.alphas))
  for kind in SPACE.kinds:
    moved = after[kind] - before[kind]
    assert (moved[:, 3] < 0).all()
    assert (moved[:, 1] > 0).all()


def test_sentences():
  config = SearchConfig(epochs=4)
  beyond = with_cost(darts(), COSTS, 2 * MOST)
  with pytest.raises(UserError, match=r'target must be from .* to .* multi'):
    beyond.check(config, SPACE)
  random = with_cost(METHODS['random_cells'](), COSTS, MOST)
  with pytest.raises(UserError, match='that train alphas; random_cells trains'):
    random.check(config, SPACE)
  config = SearchConfig(epochs=100)
  for method in (darts_pt(), freezing(darts_pt(), ScheduleConfig())):
    held = with_cost(method, COSTS, MOST)
    with pytest.raises(UserError, match=r'by their alphas; .*darts_pt.* by th'):
      held.check(config, SPACE)


def test_numbers_of_the_same_names_are_refused():
  method = darts()._replace(numbers=lambda *given: {'cost': -1.0, 'own': 2.0})
  held = with_cost(method, COSTS, MOST)
  state = state_of(held, random_scores())
  search = tiny_search.search_of(SPACE)
  found = darts().derive(darts(), search, state)
  with pytest.raises(UserError, match=r"'darts' gives than .* tells: cost\."):
    held.numbers(search, state, found)


def test_early_stopping_judges_what_meets_the_target():
  stopping = early_stopping(
    darts(), ScheduleConfig(), rule='skips', first_epoch=0
  )
  method = with_cost(stopping, COSTS, LEAST * 1.02)
  assert method.name.startswith("early_stopping(rule='skips'")
  # Alphas alone derive convolutions; what is that cheap has skips alone.
  dear = np.tile(np.float32([0, 0.2, 0.3, 0]), (5, 1))
  state = state_of(method, dict.fromkeys(SPACE.kinds, dear))
  search = tiny_search.search_of(SPACE, per_epoch=2)
  assert darts().derive(darts(), search, state).num_skips('normal') == 0
  assert method.derive(method, search, state).num_skips('normal') == 4
  stops = []
  for epoch in (1, 2):
    change = method.begin_epoch(search, state, epoch, [object()])
    state = change.state
    stops.append(change.stop)
  assert stops == [False, True]


@pytest.mark.parametrize(
  ('around', 'sentence'),
  [
    (lambda method: method._replace(name='as it is'), None),
    (lambda method: freezing(method, ScheduleConfig()), 'method freezing'),
    (lambda method: progressive(method, ScheduleConfig()), None),
  ],
)
def test_nothing_is_around_early_stopping_that_is_held(around, sentence):
  method = around(METHODS['robust_darts']())
  if sentence is None:
    assert with_cost(method, COSTS, MOST).name.startswith('early_stopping(')
    return
  with pytest.raises(UserError, match=f'goes inside early.* {sentence}'):
    with_cost(method, COSTS, MOST)


def test_of_a_method_that_keeps_every_edge_this_is_what_is_held():
  snas = METHODS['snas']()
  alphas = {k: np.tile(np.float32([0, 0, 0, 9]), (5, 1)) for k in SPACE.kinds}
  alphas['normal'][2] = [9, 0, 0, 0]
  alphas['reduce'][2] = [0, 0, 9, 0]
  alone = tiny_search.derived(snas, SPACE, alphas)
  assert [len(cell.edges) for cell in alone.cells] == [4, 5]
  cost = COSTS.of(alone)
  scores = snas.scores(SPACE, alphas, tiny_search.mask_of(SPACE))
  found = expected(SPACE, scores, COSTS, snas.every_edge)
  np.testing.assert_allclose(found, cost, rtol=1e-2)
  # Beyond what two edges a node cost, and cheaper than the target.
  dear = (COSTS.table(kind)[:, 3].sum() for kind in SPACE.kinds)
  target = (cost + COSTS.fixed + sum(dear)) / 2
  assert MOST < cost < target
  method = with_cost(snas, COSTS, target)
  method.check(SearchConfig(epochs=4), SPACE)
  state = state_of(method, alphas)
  search = tiny_search.search_of(SPACE, per_epoch=2)
  state = method.begin_epoch(search, state, 1, [object()]).state
  want = 2 * (cost - target) / target
  np.testing.assert_allclose(kept(state.own)['price'], want, rtol=1e-5)


def test_in_a_schedule_the_same_cells_may_be_derived():
  inside = freezing(darts(), ScheduleConfig())
  found = expected_cost.reach(inside, SPACE, COSTS, SPACE.mask())
  assert found == (LEAST, MOST)


def test_a_rule_of_one_s_own_may_keep_any_edges():
  """As one that keeps one edge, for less than two edges a node may cost."""
  space = dataclasses.replace(SPACE, derive=lambda space, weights: None)
  loose = costs_lib.loose_bounds(COSTS, SPACE.mask())
  assert loose[0] == COSTS.fixed <= LEAST < MOST < loose[1]
  for method in (darts(), METHODS['snas']()):
    found = expected_cost.reach(method, space, COSTS, space.mask())
    assert found == loose
  every = dataclasses.replace(SPACE, derive=derive_every_edge)
  reached = expected_cost.reach(darts(), every, COSTS, SPACE.mask())
  assert reached == (COSTS.fixed, loose[1])  # All edges may have none.
  assert expected_cost.reach(
    METHODS['snas'](), SPACE, COSTS, SPACE.mask(['sep_conv_3x3'])
  ) == costs_lib.bounds(COSTS, every, SPACE.mask(['sep_conv_3x3']))


def test_every_edge_may_be_kept():
  space = SPACES['nasbench201']
  sites = costs_lib.sites_of(space, 3, 2, (4, 4, 1), 2)
  table = costs_lib.counted(space, sites, 'weights')
  scores = {'cell': np.full((6, 5), 0.2, np.float32)}
  want = table.fixed + table.table('cell').mean(1).sum()
  np.testing.assert_allclose(expected(space, scores, table), want, rtol=1e-6)
