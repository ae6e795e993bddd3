"""Tests of schedules that keep something: early stopping, and freezing."""

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
from opp_darts_jax.methods.catalogue import METHODS, configured_method
from opp_darts_jax.methods.nested import Within, kept
from opp_darts_jax.methods.stages import Stage

SPACE = tiny_search.space_of('s', 'skip_connect', 'sep_conv_3x3', nodes=2)
# Two skip connections are too many, as DARTS+ says.
SKIPS = 'early_stopping(rule="skips", first_epoch=0)'


def named(schedule, method='darts', **fields):
  config = SearchConfig(
    method=method, schedule=ScheduleConfig(schedule), epochs=9
  )
  return configured_method(dataclasses.replace(config, **fields))


def alphas_with(skips):
  """Alphas of which the normal cell that derives has so many skips."""
  table = np.zeros((5, 2), np.float32)
  table[:, 1] = 1
  table[:skips, 0] = 2
  table[2] = -5  # The third node keeps its other two edges.
  return jax.device_put(
    {'normal': table, 'reduce': np.tile(np.float32([3, 0]), (5, 1))}
  )


@pytest.mark.parametrize('schedule', [SKIPS, f'{SKIPS}+progressive'])
def test_skips_end_a_search_with_the_cells_of_the_epoch_before(schedule):
  method = named(schedule)
  _, state = toy_network.search_of(method, space=SPACE)
  search = tiny_search.search_of(SPACE, SearchConfig(epochs=9), per_epoch=2)
  stages = [Stage(0, SPACE.names, {})]
  for epoch, skips in enumerate((2, 1, 1, 0), 1):  # At first it may have any.
    state = state.replace(alphas=alphas_with(skips))
    change = method.begin_epoch(search, state, epoch, stages)
    assert not change.stop
    state = change.state
  state = state.replace(alphas=alphas_with(2))
  change = method.begin_epoch(search, state, 5, stages)
  assert change.stop
  chex.assert_trees_all_equal(change.state.alphas, alphas_with(0))
  found = method.derive(method, search, change.state)
  assert found.num_skips('normal') == 0


def test_a_method_that_stops_early_judges_before_anything_enters():
  method = named('progressive', 'robust_darts(period=1, first_epoch=0)')
  assert method.name.startswith('progressive robust_darts(')
  _, state = toy_network.search_of(method, space=SPACE)
  state = state.replace(mask=tiny_search.mask_of(SPACE, 'sep_conv_3x3'))
  judged = []

  def curvature(given):
    judged.append(int(given.mask['normal'].sum()))
    return 1.0

  search = tiny_search.search_of(
    SPACE, fresh=lambda key: state, curvature=curvature
  )
  stages = [Stage(0, ('sep_conv_3x3',), {})]
  change = method.begin_epoch(search, state, 2, stages)
  assert change.stage.entered == ('skip_connect',)
  assert judged == [5]
  assert change.state.mask['normal'].all()


def test_a_last_epoch_that_collapses_gives_the_cells_of_before():
  method = named(SKIPS)
  _, state = toy_network.search_of(method, space=SPACE)
  search = tiny_search.search_of(SPACE, SearchConfig(epochs=4), per_epoch=2)
  stages = [Stage(0, SPACE.names, {})]
  for epoch, skips in enumerate((1, 1, 0), 1):
    state = state.replace(alphas=alphas_with(skips), step=jnp.int32(2 * epoch))
    state = method.begin_epoch(search, state, epoch, stages).state
  state = state.replace(alphas=alphas_with(2))
  # In the middle of the last epoch its cells are what alphas say.
  for step, want in ((7, 2), (8, 0), (8, 0)):
    at = state.replace(step=jnp.int32(step))
    assert method.derive(method, search, at).num_skips('normal') == want
  ended = state.replace(alphas=alphas_with(1), step=jnp.int32(8))
  assert method.derive(method, search, ended).num_skips('normal') == 1


@pytest.mark.parametrize('first_epoch', [0, 10])
def test_an_eigenvalue_that_stays_ends_nothing(first_epoch):
  method = named(f'early_stopping(first_epoch={first_epoch})')
  # Its cells are those of twelve epochs before: the middle of five measures.
  earliest = max(first_epoch, 4) + 12
  for curvature, want in (
    (lambda at: 1.0, []),
    (lambda at: 1.2**at, [earliest]),
  ):
    _, state = toy_network.search_of(method, space=SPACE)
    stopped, stages = [], [Stage(0, SPACE.names, {})]
    for done in range(30):
      search = tiny_search.search_of(
        SPACE,
        SearchConfig(epochs=50),
        curvature=lambda state, f=curvature, at=done: f(at),
      )
      change = method.begin_epoch(search, state, done + 1, stages)
      state = change.state
      stopped += [done] if change.stop else []
    assert stopped[:1] == want


def test_the_last_epoch_is_measured_whatever_the_period():
  method = named('early_stopping(period=2)', epochs=8)
  _, state = toy_network.search_of(method, space=SPACE)
  measured, stages = [], [Stage(0, SPACE.names, {})]

  def curvature(state):
    measured.append(int(state.step) // 2 - 1)
    return 1.0

  search = tiny_search.search_of(
    SPACE, SearchConfig(epochs=8), per_epoch=2, curvature=curvature
  )
  for epoch in range(1, 8):
    state = state.replace(step=jnp.int32(2 * epoch))
    state = method.begin_epoch(search, state, epoch, stages).state
  method.derive(method, search, state.replace(step=jnp.int32(16)))
  assert measured == [0, 2, 4, 6, 7]


@pytest.mark.parametrize('rule', ['order', 'skips', 'eigenvalue'])
def test_epochs_in_which_alphas_rest_are_not_judged(rule):
  space = tiny_search.space_of(
    'o', 'skip_connect', 'sep_conv_3x3', 'dil_conv_3x3', nodes=2
  )
  method = named(
    f'early_stopping(rule="{rule}", stable_epochs=2, first_epoch=0, '
    'max_skips=0, period=1)',
    'pc_darts(partial=1, warmup_epochs=12)',
  )
  _, state = toy_network.search_of(method, space=space)
  # Skip connections everywhere, and nothing that changes but curvature.
  skip = jax.device_put(np.tile(np.float32([1, 0, 0]), (5, 1)))
  skips = dict.fromkeys(space.kinds, skip)
  state = state.replace(alphas={**state.alphas, **skips})
  stages, stopped = [Stage(0, space.names, {})], []
  for epoch in range(10, 23):
    state = state.replace(step=jnp.int32(2 * epoch))
    search = tiny_search.search_of(
      space,
      SearchConfig(epochs=50),
      per_epoch=2,
      curvature=lambda state: 2.0 ** int(state.step),
    )
    change = method.begin_epoch(search, state, epoch, stages)
    state = change.state
    stopped += [epoch] if change.stop else []
    assert (epoch > 12) == (kept(state.own)['epochs'][-1] == epoch - 1)
  # A further epoch of another order; one before; eight measures before.
  assert stopped[0] == 13 + {'order': 2, 'skips': 1, 'eigenvalue': 8}[rule]


def test_an_order_that_stays_ends_a_search_with_its_cells():
  space = tiny_search.space_of(
    'o', 'skip_connect', 'sep_conv_3x3', 'dil_conv_3x3', nodes=2
  )
  rule = 'early_stopping(rule="order", stable_epochs=2, first_epoch=0)'
  method = named(rule)
  _, state = toy_network.search_of(method, space=space)
  search = tiny_search.search_of(space, SearchConfig(epochs=9), per_epoch=2)
  stages, stops = [Stage(0, space.names, {})], []
  # Of each epoch, the alphas of an edge; others have none that move.
  orders = ((3, 2, 1), (3, 1, 2), (1, 1, 3), (0, 1, 2), (0, 1, 2))
  for epoch, row in enumerate(orders, 1):
    table = jnp.zeros((5, 3)).at[1].set(jnp.array(row, jnp.float32))
    alphas = {'normal': table, 'reduce': jnp.zeros((5, 3))}
    state = state.replace(alphas=alphas)
    change = method.begin_epoch(search, state, epoch, stages)
    state = change.state
    stops.append(change.stop)
    chex.assert_trees_all_equal(state.alphas, alphas)
  # Where the skip connection is does not count; the second epoch changed it.
  assert stops == [False, False, False, True, True]


def test_an_order_of_one_operation_an_edge_ends_nothing():
  space = tiny_search.space_of(
    'o', 'skip_connect', 'sep_conv_3x3', 'dil_conv_3x3', nodes=2
  )
  method = named('early_stopping(rule="order", stable_epochs=2, first_epoch=0)')
  _, state = toy_network.search_of(method, space=space)
  search = tiny_search.search_of(space, SearchConfig(epochs=9), per_epoch=2)
  stages, stops = [Stage(0, space.names, {})], []
  for epoch in range(1, 8):
    entered = space.names[: 2 if epoch <= 4 else 3]
    state = state.replace(mask=tiny_search.mask_of(space, *entered))
    change = method.begin_epoch(search, state, epoch, stages)
    state = change.state
    stops.append(change.stop)
  # What has entered changes the order once more.
  assert stops == [False] * 6 + [True]


def test_what_is_kept_is_whatever_parameters_a_method_has():
  method = named(SKIPS, 'pc_darts(partial=1, warmup_epochs=0)')
  task = tiny_search.task_of(SPACE, method)
  own = kept(tiny_search.shapes_of(task).own)
  assert own['found']['alphas']['edges']['normal'].shape == (2, 5)
  assert own['found']['mask']['reduce'].shape == (2, 5, 2)
  assert tiny_search.shapes_of(task).own['method'] is None


def test_schedules_nest_and_a_method_sees_its_own_alone():
  method = named('early_stopping(period=1)+freezing(window=1)', 'oles')
  assert method.name.startswith("early_stopping(rule='eigenvalue', factor=1.3")
  assert 'freezing(threshold=0.4, window=1) oles(' in method.name
  task, state = toy_network.search_of(method, space=SPACE)
  after, _ = toy_network.stepped(task, state)
  chex.assert_trees_all_equal_shapes_and_dtypes(after, state)
  frozen, watched = (
    kept(after.own['method']),
    kept(after.own['method']['method']),
  )
  assert frozen['cell0']['sep_conv_3x3']['steps'].tolist() == [0] * 5
  assert watched['cell0']['sep_conv_3x3']['steps'].tolist() == [1] * 5
  seen = []

  def curvature(given):
    seen.append(jax.tree.structure(given) == jax.tree.structure(state))
    return 1.0

  search = tiny_search.search_of(
    SPACE, fresh=lambda key: state, curvature=curvature
  )
  change = method.begin_epoch(search, after, 1, [Stage(0, SPACE.names, {})])
  chex.assert_trees_all_equal_shapes_and_dtypes(change.state, state)
  assert Within(search, state.own).curvature(after.replace(own=None)) == 1.0
  assert seen == [True, False]  # None is not what the method keeps.
  inside = Within(search, state.own).fresh(None)
  assert jax.tree.structure(inside.own) == jax.tree.structure(
    state.own['method']
  )


def test_what_rests_of_two_rests():
  method = named('freezing(threshold=2.0, window=1)', 'p_darts')
  task, state = toy_network.search_of(method, space=SPACE)
  after, _ = toy_network.stepped(task, state)
  moves = method.moves(after.own, {
    'cell0': {'sep_conv_3x3': {'kernel': jnp.ones((5, 2))},
              'skip_connect': {'rate': jnp.ones(5)}},
    'head': jnp.ones(3),
  })  # fmt: skip
  assert not moves['cell0']['sep_conv_3x3']['kernel'].any()
  assert not moves['cell0']['skip_connect']['rate'].any()
  assert moves['head'].all()


@pytest.mark.parametrize(
  ('schedule', 'method', 'sentence'),
  [
    ('early_stopping', 'gdas', 'gdas.* samples one operation an edge: take'),
    ('early_stopping', 'random_cells', 'that train alphas; random_cells'),
    (SKIPS, 'random_sharing', r'train alphas; random_sharing.* trains none'),
    ('freezing', 'snas', r'two halves of a step; snas.* has one level'),
    ('progressive+early_stopping', 'darts', "begin with 'early_stopping'"),
    ('progressive+freezing', 'robust_darts', "'progressive' goes inside early"),
    ('plain+plain', 'darts', 'each schedule once'),
    ('progressive+', 'darts', "schedule, or several .* got 'progressive+"),
    ('early_stopping(rule="order")', 'darts', 'choose between operations'),
    ('early_stopping(rule="x")', 'darts', "Unknown rule of early_stopping 'x'"),
    ('early_stopping(period=0)', 'darts', 'period of at least 1'),
    ('freezing(window=0)', 'darts', 'window of at least 1'),
    ('freezing(size=0)', 'darts', r'freezing takes: threshold, window\.'),
    ('nope+plain', 'darts', "Unknown schedule 'nope'"),
  ],
)  # fmt: skip
def test_what_does_not_fit_is_a_sentence(schedule, method, sentence):
  with pytest.raises(UserError, match=sentence):
    named(schedule, method).check(SearchConfig(epochs=9), SPACE)


def test_skips_of_a_cell_that_the_supernet_lacks_are_not_counted():
  config = SearchConfig(epochs=9, layers=2)
  with pytest.raises(UserError, match='judges; layers=2 holds no normal cell'):
    named(SKIPS).check(config, SPACE)
  named('early_stopping').check(config, SPACE)


def test_every_method_that_trains_alphas_may_stop_early():
  for name, make in METHODS.items():
    if name not in ('random_cells', 'random_sharing', 'darts_pt', 'p_darts'):
      named(SKIPS, name).check(SearchConfig(epochs=50), SPACE)
      assert make().name in named(SKIPS, name).name
