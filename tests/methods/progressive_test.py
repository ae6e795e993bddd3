"""Tests of the schedule: what enters when, and how the state grows."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from opp_darts_jax.genotypes.space import SPACES
from opp_darts_jax.methods.bilevel import SearchState

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes import space as space_lib
from opp_darts_jax.methods import architecture, bilevel, progressive

DARTS = SPACES['darts']
PARAMETRIC = ('sep_conv_3x3', 'sep_conv_5x5', 'dil_conv_3x3', 'dil_conv_5x5')
PUBLISHED = [0, 2, 4, 6, 8, 10, 12, 14]


def fixed(*order):
  return ScheduleConfig(selection='fixed', order=order)


# Candidates


def test_parametric_operations_come_first_and_skip_connect_last():
  schedule = ScheduleConfig()
  assert progressive.candidates(DARTS, schedule, ()) == PARAMETRIC
  assert progressive.candidates(DARTS, schedule, ['sep_conv_5x5']) == (
    'none',
    'max_pool_3x3',
    'avg_pool_3x3',
    'sep_conv_3x3',
    'dil_conv_3x3',
    'dil_conv_5x5',
  )
  but_skip = [o for o in DARTS.operations if o != 'skip_connect']
  left = progressive.candidates(DARTS, schedule, but_skip)
  assert left == ('skip_connect',)
  assert progressive.candidates(DARTS, schedule, DARTS.operations) == ()


def test_a_space_without_skip_connect_ends_with_what_is_left():
  names = progressive.candidates(SPACES['s4'], ScheduleConfig(), ())
  assert names == ('sep_conv_3x3',)
  names = progressive.candidates(SPACES['s4'], ScheduleConfig(), names)
  assert names == ('noise',)


def test_a_fixed_order_decides_alone():
  order = ('skip_connect', 'none', 'sep_conv_3x3')
  schedule = fixed(*order)
  assert progressive.candidates(SPACES['s3'], schedule, ()) == order
  left = progressive.candidates(SPACES['s3'], schedule, ['none'])
  assert left == ('skip_connect', 'sep_conv_3x3')


# Rank

NAMES = ('none', 'max_pool_3x3', 'sep_conv_3x3')
LOSSES = {'none': 2.0, 'max_pool_3x3': 3.0, 'sep_conv_3x3': 1.0}


@pytest.mark.parametrize(
  ('selection', 'ranked'),
  [
    ('largest', ('max_pool_3x3', 'none', 'sep_conv_3x3')),
    ('smallest', ('sep_conv_3x3', 'none', 'max_pool_3x3')),
  ],
)
def test_rank_by_loss(selection, ranked):
  schedule = ScheduleConfig(selection=selection)
  assert progressive.needs_scores(schedule, NAMES)
  assert progressive.rank(schedule, NAMES, LOSSES, (0, 0)) == ranked


def test_of_equal_losses_the_first_in_the_space_goes_first():
  for selection in ('largest', 'smallest'):
    schedule = ScheduleConfig(selection=selection)
    equal = dict.fromkeys(NAMES, 1.5)
    assert progressive.rank(schedule, NAMES, equal, (0, 0)) == NAMES


def test_random_rank_is_decided_by_the_seed():
  schedule = ScheduleConfig(selection='random')
  assert not progressive.needs_scores(schedule, NAMES)

  def rank(*seed):
    return progressive.rank(schedule, NAMES, {}, seed)

  ranks = {seed: rank(*seed) for seed in itertools.product(range(20), range(3))}
  assert all(rank(*seed) == ranked for seed, ranked in ranks.items())
  assert set(ranks.values()) == set(itertools.permutations(NAMES))
  assert all(type(name) is str for name in rank(0, 0))


def test_fixed_rank_is_the_order():
  schedule = fixed(*reversed(NAMES))
  assert not progressive.needs_scores(schedule, NAMES)
  names = NAMES[::-1]
  assert progressive.rank(schedule, names, {}, (0, 0)) == names


@pytest.mark.parametrize('selection', ['largest', 'smallest'])
def test_a_single_candidate_needs_no_score(selection):
  schedule = ScheduleConfig(selection=selection)
  assert not progressive.needs_scores(schedule, NAMES[:1])
  assert progressive.rank(schedule, NAMES[:1], {}, (0, 0)) == NAMES[:1]


@pytest.mark.parametrize('loss', [np.nan, np.inf])
def test_rank_refuses_losses_that_are_not_finite(loss):
  with pytest.raises(UserError, match=f'loss of none must be .* is {loss}: '):
    progressive.rank(ScheduleConfig(), NAMES, {**LOSSES, 'none': loss}, (0, 0))


# Entering


def reaches_all(space, nodes, entered):
  """Whether both cells have a path from an input to every node."""
  for mask_EK in space.mask(nodes, entered).values():
    lit = {0, 1}
    for _ in range(nodes):
      for (source, node), row_K in zip(space_lib.edges(nodes), mask_EK):
        has = {o for o, there in zip(space.operations, row_K) if there}
        if source in lit and has - {'none'}:
          lit.add(node)
    if len(lit) < nodes + 2:
      return False
  return True


def test_one_operation_enters_where_every_edge_may_have_it():
  entered = progressive.entering(DARTS, 4, (), PARAMETRIC)
  assert entered == ('sep_conv_3x3',)
  entered = progressive.entering(DARTS, 4, entered, ('none', 'max_pool_3x3'))
  assert entered == ('none',)


@pytest.mark.parametrize(
  'ranked',
  itertools.permutations(('sep_conv_3x3', 'dil_conv_3x3', 'dil_conv_5x5')),
  ids=' '.join,
)
def test_in_s1_as_many_enter_at_first_as_reach_every_node(ranked):
  space = SPACES['s1']
  entered = progressive.entering(space, 4, (), ranked)
  assert entered == ranked[: len(entered)]
  assert reaches_all(space, 4, entered)
  assert not reaches_all(space, 4, entered[:-1])
  # Later, one at a time.
  assert progressive.entering(space, 4, entered, ('max_pool_3x3', 'x')) == (
    'max_pool_3x3',
  )


def test_in_s1_dil_conv_3x3_needs_another_beside_it():
  ranked = ('dil_conv_3x3', 'dil_conv_5x5', 'sep_conv_3x3')
  entered = progressive.entering(SPACES['s1'], 4, (), ranked)
  assert entered == ranked[:2]


def test_none_alone_never_makes_a_first_stage():
  ranked = ('none', 'skip_connect', 'sep_conv_3x3')
  entered = progressive.entering(SPACES['s3'], 4, (), ranked)
  assert entered == ('none', 'skip_connect')


# Stages


def all_stages(config, losses):
  """The (epoch, entered) of a search whose operations have these losses."""
  space, active, stages = SPACES[config.space], [], []
  for epoch in range(config.epochs):
    if progressive.stage_begins(config, epoch, active):
      names = progressive.candidates(space, config.schedule, active)
      ranked = progressive.rank(config.schedule, names, losses, (0, epoch))
      entered = progressive.entering(space, config.nodes, active, ranked)
      active.extend(entered)
      stages.append((epoch, entered))
  return stages


def test_published_schedule():
  losses = {o: float(i) for i, o in enumerate(DARTS.operations)}
  assert all_stages(SearchConfig(), losses) == list(
    zip(
      PUBLISHED,
      [
        ('dil_conv_5x5',),
        ('dil_conv_3x3',),
        ('sep_conv_5x5',),
        ('sep_conv_3x3',),
        ('avg_pool_3x3',),
        ('max_pool_3x3',),
        ('none',),
        ('skip_connect',),
      ],
    )
  )


def test_schedule_of_s1_is_shorter_by_what_entered_together():
  config = SearchConfig(
    space='s1', epochs=20, schedule=ScheduleConfig(stage_epochs=3)
  )
  losses = {o: float(i) for i, o in enumerate(SPACES['s1'].operations)}
  assert all_stages(config, losses) == [
    (0, ('dil_conv_5x5', 'dil_conv_3x3')),
    (3, ('sep_conv_3x3',)),
    (6, ('avg_pool_3x3',)),
    (9, ('max_pool_3x3',)),
    (12, ('skip_connect',)),
  ]


def test_check_length():
  progressive.check_length(SearchConfig(epochs=15))
  with pytest.raises(
    UserError,
    match='epochs must be at least 15 for the 8 operations of space '
    "'darts' to enter, one every 2 epochs .* got 14",
  ):
    progressive.check_length(SearchConfig(epochs=14))
  with pytest.raises(UserError, match='at least 4 for the 2 operations'):
    progressive.check_length(
      SearchConfig(
        space='s2', epochs=3, schedule=ScheduleConfig(stage_epochs=3)
      )
    )
  progressive.check_length(
    SearchConfig(epochs=1, schedule=ScheduleConfig(method='darts'))
  )


def test_a_search_as_long_as_check_length_asks_is_complete():
  config = SearchConfig(epochs=15)
  stages = all_stages(config, dict.fromkeys(DARTS.operations, 1.0))
  assert stages[-1] == (14, ('skip_connect',))


# Learning rate


def rates(cosine, stage_epochs=tuple(PUBLISHED)):
  config = SearchConfig(schedule=ScheduleConfig(cosine=cosine))
  return [
    progressive.learning_rate(config, epoch, stage_epochs)
    for epoch in range(config.epochs)
  ]


def test_plain_cosine():
  plain = rates('plain')
  assert plain == rates('plain', stage_epochs=())
  assert plain[0] == 0.025
  np.testing.assert_allclose(plain[14], 0.0206, atol=5e-5)
  np.testing.assert_allclose(plain[25], (0.025 + 0.001) / 2)
  np.testing.assert_allclose(plain[49], 0.001, atol=5e-5)
  assert (np.diff(plain) < 0).all()


def test_reanchored_cosine():
  anchored = rates('reanchored')
  assert anchored[0] == 0.025
  assert anchored[:2] == rates('plain')[:2]
  np.testing.assert_allclose(anchored[14], 0.0241, atol=5e-5)
  np.testing.assert_allclose(anchored[49], 0.001, atol=5e-5)
  assert (np.diff(anchored) < 0).all()
  # A stage still to come changes nothing.
  assert rates('reanchored', PUBLISHED[:4])[:8] == anchored[:8]
  # After the last stage it is a cosine over the epochs left.
  share = (1 + np.cos(np.pi * 18 / 36)) / 2
  np.testing.assert_allclose(
    anchored[32], 0.001 + share * (anchored[14] - 0.001)
  )


# Growth

SPACE = SPACES['s3']  # none, skip_connect, sep_conv_3x3
OPTIONS = ('skip_connect', 'sep_conv_3x3')


def config_of(boundary):
  return SearchConfig(
    space='s3', nodes=1, schedule=ScheduleConfig(boundary=boundary)
  )


def state_of(seed, active):
  """A state that looks like one in the middle of a search."""
  numbers = np.random.default_rng(seed)

  def leaf(*shape):
    return jnp.float32(numbers.standard_normal(shape))

  def cell():
    return {
      'preprocess': {'input0': {'conv': {'kernel': leaf(1, 1, 2, 2)}}},
      'sep_conv_3x3': {'depthwise': leaf(2, 2, 3, 3, 2), 'pointwise': leaf(2)},
      'skip_connect': {'pointwise': leaf(2, 2, 1)},
    }

  weights = {'stem': {'conv': leaf(3)}, 'cell0': cell(), 'cell1': cell()}
  batch_stats = jax.tree.map(lambda leaf: leaf + 1, weights)
  alphas = {name: leaf(2, 3) for name in architecture.CELLS}
  config = config_of('reset')
  weight_opt = bilevel.weight_optimizer(config.weights).init(weights)
  alpha_opt = architecture.alpha_optimizer(config.alphas).init(alphas)
  moved = jax.tree.map(lambda m: m + leaf(*m.shape).astype(m.dtype), weight_opt)
  return SearchState(
    step=jnp.int32(seed),
    weights=weights,
    batch_stats=batch_stats,
    alphas=alphas,
    mask=jax.tree.map(jnp.asarray, SPACE.mask(1, active)),
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
  got = progressive.with_operations(old.weights, new.weights, [operation])
  assert_only(operation, got, old.weights, new.weights)


def test_with_operations_of_several_and_of_none():
  old, new = state_of(1, ()).weights, state_of(2, ()).weights
  got = progressive.with_operations(old, new, OPTIONS)
  taken = [leaf for name in OPTIONS for leaf in leaves_of(got, name)[0]]
  want = [leaf for name in OPTIONS for leaf in leaves_of(new, name)[0]]
  chex.assert_trees_all_equal(taken, want)
  chex.assert_trees_all_equal(got['stem'], old['stem'])
  chex.assert_trees_all_equal(progressive.with_operations(old, new, ()), old)


def test_with_columns():
  old, new = state_of(1, ()).alphas, state_of(2, ()).alphas
  got = progressive.with_columns(old, new, SPACE, ['none', 'sep_conv_3x3'])
  for cell in architecture.CELLS:
    want = np.array(new[cell])
    want[:, 1] = old[cell][:, 1]
    np.testing.assert_array_equal(got[cell], want)


def test_without_operations_no_operation_is_left():
  state = state_of(1, SPACE.operations)
  got = progressive.without_operations(state, SPACE)
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
  got = progressive.offer(old, fresh, SPACE, [operation])
  assert_only(operation, got.weights, old.weights, fresh.weights)
  assert_only(operation, got.batch_stats, old.batch_stats, fresh.batch_stats)
  column = SPACE.operations.index(operation)
  for cell in architecture.CELLS:
    want = np.array(old.alphas[cell])
    want[:, column] = fresh.alphas[cell][:, column]
    np.testing.assert_array_equal(got.alphas[cell], want)
  rest = {'weights': None, 'batch_stats': None, 'alphas': None}
  chex.assert_trees_all_equal(got.replace(**rest), old.replace(**rest))


@pytest.mark.parametrize('boundary', ['reset', 'keep'])
def test_grow(boundary):
  active, entered = ['sep_conv_3x3'], ('skip_connect',)
  old, fresh = state_of(1, active), state_of(2, ())
  got = progressive.grow(old, fresh, config_of(boundary), active, entered)

  offered = progressive.offer(old, fresh, SPACE, entered)
  rest = {'mask': None, 'weight_opt': None, 'alpha_opt': None}
  chex.assert_trees_all_equal(got.replace(**rest), offered.replace(**rest))
  for cell in architecture.CELLS:
    np.testing.assert_array_equal(old.mask[cell], [[False, False, True]] * 2)
    np.testing.assert_array_equal(got.mask[cell], [[False, True, True]] * 2)
  moments = fresh if boundary == 'reset' else old
  chex.assert_trees_all_equal(
    (got.weight_opt, got.alpha_opt), (moments.weight_opt, moments.alpha_opt)
  )
  chex.assert_trees_all_equal_shapes_and_dtypes(got, old)


def test_grow_in_a_space_with_edge_lists_keeps_to_them():
  space, config = SPACES['s1'], SearchConfig(space='s1')
  tables = dict.fromkeys(architecture.CELLS, jnp.zeros((14, 6)))
  state = SearchState(
    step=jnp.int32(0),
    weights={},
    batch_stats={},
    alphas=tables,
    mask=jax.tree.map(lambda t: t > 0, tables),
    weight_opt=(),
    alpha_opt=(),
  )
  first = progressive.grow(state, state, config, (), ('dil_conv_3x3',))
  both = progressive.grow(
    first, state, config, ('dil_conv_3x3',), ('max_pool_3x3',)
  )
  for cell, rows in (('normal', space.normal), ('reduce', space.reduce)):
    want = [
      [
        o in row and o in ('dil_conv_3x3', 'max_pool_3x3')
        for o in space.operations
      ]
      for row in rows
    ]
    np.testing.assert_array_equal(both.mask[cell], want)


def test_stages_go_through_json():
  stage = progressive.Stage(4, ('none', 'sep_conv_3x3'), {'none': 1.5})
  fields = {'epoch': 4, 'entered': ['none', 'sep_conv_3x3']}
  assert stage == progressive.Stage.from_json(
    {**fields, 'losses': {'none': 1.5}}
  )
