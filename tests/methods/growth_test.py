"""Tests of how a search's state grows."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.methods import growth, optimizers
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.spaces.catalogue import SPACES

SPACE = SPACES['s3'].with_nodes(1)  # none, skip_connect, sep_conv_3x3
OPTIONS = ('skip_connect', 'sep_conv_3x3')


def search_in(space, boundary='reset'):
  config = SearchConfig(schedule=ScheduleConfig(boundary=boundary))
  return tiny_search.search_of(space, config)


def state_of(seed, active):
  """A state that looks like one in the middle of a search."""
  numbers = np.random.default_rng(seed)

  def leaf(*shape):
    return jax.device_put(np.float32(numbers.standard_normal(shape)))

  def cell():
    return {
      'preprocess': {'input0': {'conv': {'kernel': leaf(1, 1, 2, 2)}}},
      'sep_conv_3x3': {'depthwise': leaf(2, 2, 3, 3, 2), 'pointwise': leaf(2)},
      'skip_connect': {'pointwise': leaf(2, 2, 1)},
    }

  weights = {'stem': {'conv': leaf(3)}, 'cell0': cell(), 'cell1': cell()}
  batch_stats = jax.tree.map(lambda leaf: leaf + 1, weights)
  alphas = {name: leaf(2, 3) for name in SPACE.kinds}
  config = SearchConfig()
  weight_opt = optimizers.weight_optimizer(config.weights).init(weights)
  alpha_opt = optimizers.alpha_optimizer(config.alphas).init(alphas)
  moved = jax.tree.map(lambda m: m + leaf(*m.shape).astype(m.dtype), weight_opt)
  return SearchState(
    step=jnp.int32(seed),
    weights=weights,
    batch_stats=batch_stats,
    alphas=alphas,
    mask=jax.device_put(SPACE.mask(active)),
    weight_opt=moved,
    alpha_opt=jax.tree.map(lambda m: m + jnp.ones_like(m), alpha_opt),
  )


def leaves_of(tree, operation):
  """The leaves of one operation, and all the others."""
  paths, _ = jax.tree_util.tree_flatten_with_path(tree)
  own = [leaf for path, leaf in paths if operation in map(key_of, path)]
  return own, [
    leaf for path, leaf in paths if operation not in map(key_of, path)
  ]


def key_of(entry):
  return getattr(entry, 'key', None)


def assert_only(operation, got, old, new):
  """That leaves of the operation are new and all others old, to the bit."""
  got_own, got_others = leaves_of(got, operation)
  new_own, _ = leaves_of(new, operation)
  _, old_others = leaves_of(old, operation)
  assert len(got_own) > 1
  assert len(got_others) > 3
  chex.assert_trees_all_equal(got_own, new_own)
  chex.assert_trees_all_equal(got_others, old_others)


@pytest.mark.parametrize('operation', OPTIONS)
def test_with_operations_takes_their_leaves_alone(operation):
  old, new = state_of(1, ()), state_of(2, ())
  got = growth.with_operations(old.weights, new.weights, [operation])
  assert_only(operation, got, old.weights, new.weights)


def test_with_operations_of_several_and_of_none():
  old, new = state_of(1, ()).weights, state_of(2, ()).weights
  got = growth.with_operations(old, new, OPTIONS)
  taken = [leaf for name in OPTIONS for leaf in leaves_of(got, name)[0]]
  want = [leaf for name in OPTIONS for leaf in leaves_of(new, name)[0]]
  chex.assert_trees_all_equal(taken, want)
  chex.assert_trees_all_equal(got['stem'], old['stem'])
  chex.assert_trees_all_equal(growth.with_operations(old, new, ()), old)


def test_with_columns():
  old, new = state_of(1, ()).alphas, state_of(2, ()).alphas
  got = growth.with_columns(old, new, SPACE, ['none', 'sep_conv_3x3'])
  for cell in SPACE.kinds:
    want = np.array(new[cell])
    want[:, 1] = old[cell][:, 1]
    np.testing.assert_array_equal(got[cell], want)


def test_without_operations_no_operation_is_left():
  state = state_of(1, SPACE.names)
  got = growth.without_operations(state, SPACE)
  for operation in OPTIONS:
    zeros = jax.tree.map(jnp.zeros_like, leaves_of(state.weights, operation)[0])
    chex.assert_trees_all_equal(leaves_of(got.weights, operation)[0], zeros)
  chex.assert_trees_all_equal(got.weights['stem'], state.weights['stem'])
  for cell in ('cell0', 'cell1'):
    chex.assert_trees_all_equal(
      got.weights[cell]['preprocess'], state.weights[cell]['preprocess']
    )
  assert not any(mask.any() for mask in got.mask.values())
  rest = {'weights': None, 'mask': None}
  chex.assert_trees_all_equal(got.replace(**rest), state.replace(**rest))


@pytest.mark.parametrize('operation', OPTIONS)
def test_offer_changes_the_operation_alone(operation):
  old, fresh = state_of(1, ['none']), state_of(2, ())
  got = growth.offer(old, fresh, SPACE, [operation])
  assert_only(operation, got.weights, old.weights, fresh.weights)
  assert_only(operation, got.batch_stats, old.batch_stats, fresh.batch_stats)
  column = SPACE.names.index(operation)
  for cell in SPACE.kinds:
    want = np.array(old.alphas[cell])
    want[:, column] = fresh.alphas[cell][:, column]
    np.testing.assert_array_equal(got.alphas[cell], want)
  rest = {'weights': None, 'batch_stats': None, 'alphas': None}
  chex.assert_trees_all_equal(got.replace(**rest), old.replace(**rest))


@pytest.mark.parametrize('boundary', ['reset', 'keep'])
def test_grow(boundary):
  active, entered = ['sep_conv_3x3'], ('skip_connect',)
  old, fresh = state_of(1, active), state_of(2, ())
  got = growth.grow(old, fresh, search_in(SPACE, boundary), active, entered)

  offered = growth.offer(old, fresh, SPACE, entered)
  rest = {'mask': None, 'weight_opt': None, 'alpha_opt': None}
  chex.assert_trees_all_equal(got.replace(**rest), offered.replace(**rest))
  for cell in SPACE.kinds:
    np.testing.assert_array_equal(old.mask[cell], [[False, False, True]] * 2)
    np.testing.assert_array_equal(got.mask[cell], [[False, True, True]] * 2)
  moments = fresh if boundary == 'reset' else old
  chex.assert_trees_all_equal(
    (got.weight_opt, got.alpha_opt), (moments.weight_opt, moments.alpha_opt)
  )
  chex.assert_trees_all_equal_shapes_and_dtypes(got, old)


def test_grow_in_a_space_with_edge_lists_keeps_to_them():
  space = SPACES['s1']
  search = search_in(space)
  tables = dict.fromkeys(SPACE.kinds, jnp.zeros((14, 6)))
  state = SearchState(
    step=jnp.int32(0),
    weights={},
    batch_stats={},
    alphas=tables,
    mask=jax.tree.map(lambda t: t > 0, tables),
    weight_opt=(),
    alpha_opt=(),
  )
  first = growth.grow(state, state, search, (), ('dil_conv_3x3',))
  both = growth.grow(first, state, search, ('dil_conv_3x3',), ('max_pool_3x3',))
  for cell, rows in space.candidates:
    want = [
      [o in row and o in ('dil_conv_3x3', 'max_pool_3x3') for o in space.names]
      for row in rows
    ]
    np.testing.assert_array_equal(both.mask[cell], want)


def test_an_operation_that_was_taken_from_an_edge_does_not_come_back():
  state = state_of(1, ['sep_conv_3x3'])
  one_edge = {k: m.at[1, 2].set(False) for k, m in state.mask.items()}
  active, entered = ['sep_conv_3x3'], ['skip_connect']
  got = growth.grow(
    state.replace(mask=one_edge),
    state_of(2, ()),
    search_in(SPACE),
    active,
    entered,
  )
  for kind in SPACE.kinds:
    want = [[False, True, True], [False, True, False]]
    np.testing.assert_array_equal(got.mask[kind], want)


def test_operations_enter_before_a_method_takes_some_away():
  config = SearchConfig(schedule=ScheduleConfig(stage_epochs=3))
  growth.check_entered(config, SPACE, 7, 'it chooses')
  with pytest.raises(UserError, match=r'before it chooses, at epoch 6; .* 6:'):
    growth.check_entered(config, SPACE, 6, 'it chooses')
  plain = SearchConfig(schedule=ScheduleConfig('plain', 3))
  growth.check_entered(plain, SPACE, 0, 'it chooses')
