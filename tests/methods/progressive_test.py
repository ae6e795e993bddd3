"""Tests of the progressive schedule: what enters when."""

import itertools

import numpy as np
import pytest

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.methods import progressive
from opp_darts_jax.methods.catalogue import configured_method
from opp_darts_jax.spaces.catalogue import SPACES

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
  but_skip = [o for o in DARTS.names if o != 'skip_connect']
  left = progressive.candidates(DARTS, schedule, but_skip)
  assert left == ('skip_connect',)
  assert progressive.candidates(DARTS, schedule, DARTS.names) == ()


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


def reaches_all(space, entered):
  """Whether both cells have a path from an input to every node."""
  for mask_EK in space.mask(entered).values():
    lit = {0, 1}
    for _ in space.graph.intermediate:
      for (source, node), row_K in zip(space.graph.edges, mask_EK):
        has = {o for o, there in zip(space.names, row_K) if there}
        if source in lit and has - {'none'}:
          lit.add(node)
    if len(lit) < space.graph.nodes + 2:
      return False
  return True


def test_one_operation_enters_where_every_edge_may_have_it():
  entered = progressive.entering(DARTS, (), PARAMETRIC)
  assert entered == ('sep_conv_3x3',)
  entered = progressive.entering(DARTS, entered, ('none', 'max_pool_3x3'))
  assert entered == ('none',)


@pytest.mark.parametrize(
  'ranked',
  itertools.permutations(('sep_conv_3x3', 'dil_conv_3x3', 'dil_conv_5x5')),
  ids=' '.join,
)
def test_in_s1_as_many_enter_at_first_as_reach_every_node(ranked):
  space = SPACES['s1']
  entered = progressive.entering(space, (), ranked)
  assert entered == ranked[: len(entered)]
  assert reaches_all(space, entered)
  assert not reaches_all(space, entered[:-1])
  # Later, one at a time.
  assert progressive.entering(space, entered, ('max_pool_3x3', 'x')) == (
    'max_pool_3x3',
  )


def test_in_s1_dil_conv_3x3_needs_another_beside_it():
  ranked = ('dil_conv_3x3', 'dil_conv_5x5', 'sep_conv_3x3')
  entered = progressive.entering(SPACES['s1'], (), ranked)
  assert entered == ranked[:2]


def test_none_alone_never_makes_a_first_stage():
  ranked = ('none', 'skip_connect', 'sep_conv_3x3')
  entered = progressive.entering(SPACES['s3'], (), ranked)
  assert entered == ('none', 'skip_connect')


# Stages


def all_stages(config, losses):
  """The (epoch, entered) of a search whose operations have these losses."""
  space, active, stages = SPACES[config.space], [], []
  for epoch in range(config.epochs):
    if progressive.stage_begins(config.schedule, space, epoch, active):
      names = progressive.candidates(space, config.schedule, active)
      ranked = progressive.rank(config.schedule, names, losses, (0, epoch))
      entered = progressive.entering(space, active, ranked)
      active.extend(entered)
      stages.append((epoch, entered))
  return stages


def test_published_schedule():
  losses = {o: float(i) for i, o in enumerate(DARTS.names)}
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
  losses = {o: float(i) for i, o in enumerate(SPACES['s1'].names)}
  assert all_stages(config, losses) == [
    (0, ('dil_conv_5x5', 'dil_conv_3x3')),
    (3, ('sep_conv_3x3',)),
    (6, ('avg_pool_3x3',)),
    (9, ('max_pool_3x3',)),
    (12, ('skip_connect',)),
  ]


def check_length(space='darts', **fields):
  config = SearchConfig(space=space, **fields)
  progressive.check_length(config, SPACES[space], config.schedule)


def test_check_length():
  check_length(epochs=15)
  with pytest.raises(
    UserError,
    match='epochs must be at least 15 for the 8 operations of space '
    "'darts' to enter, one every 2 epochs .* got 14",
  ):
    check_length(epochs=14)
  with pytest.raises(UserError, match='at least 4 for the 2 operations'):
    check_length('s2', epochs=3, schedule=ScheduleConfig(stage_epochs=3))
  # Of s1 no single operation reaches every node: the first stage takes two.
  check_length('s1', epochs=9)
  with pytest.raises(UserError, match='at least 9 for the 6 operations'):
    check_length('s1', epochs=8)
  plain = SearchConfig(epochs=1, schedule=ScheduleConfig('plain'))
  configured_method(plain).check(plain, DARTS)


def test_a_fixed_order_has_every_operation_once():
  check_length('s2', epochs=3, schedule=fixed('skip_connect', 'sep_conv_3x3'))
  with pytest.raises(
    UserError, match="each operation of space 's2' once .* got skip_connect."
  ):
    check_length('s2', epochs=3, schedule=fixed('skip_connect'))


@pytest.mark.parametrize('space', list(SPACES))
def test_the_first_stage_takes_as_few_as_any_ranking_may(space):
  schedule = ScheduleConfig()
  names = progressive.candidates(SPACES[space], schedule, ())
  least = min(
    len(progressive.entering(SPACES[space], (), ranked))
    for ranked in itertools.permutations(names)
  )
  count = len(SPACES[space].operations)
  epochs = (count - least) * schedule.stage_epochs + 1
  check_length(space, epochs=epochs)
  if epochs > 1:
    with pytest.raises(UserError, match=f'at least {epochs} for the'):
      check_length(space, epochs=epochs - 1)


def test_a_search_as_long_as_check_length_asks_is_complete():
  config = SearchConfig(epochs=15)
  stages = all_stages(config, dict.fromkeys(DARTS.names, 1.0))
  assert stages[-1] == (14, ('skip_connect',))
