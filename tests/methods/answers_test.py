"""What a method gives of another kind is told, whatever is around it."""

import re

import jax
import pytest
import tiny_search

from opp_darts_jax.config import ScheduleConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.methods import answers
from opp_darts_jax.methods.catalogue import scheduled
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.stages import Change, Stage

SPACE = tiny_search.space_of('s', 'skip_connect', 'sep_conv_3x3', nodes=1)
SCHEDULES = ('plain', 'progressive', 'freezing', 'early_stopping+progressive')


def state_of(method, *operations):
  task = tiny_search.task_of(SPACE, method, layers=1)
  return tiny_search.random_state(task, *operations)


def fails(sentence):
  return pytest.raises(UserError, match=re.escape(sentence))


def begun(begin_epoch, schedule='plain', state=None):
  method = darts()._replace(name='mine', begin_epoch=begin_epoch)
  method = scheduled(method, ScheduleConfig(name=schedule, selection='random'))
  state = state_of(method) if state is None else state
  search = tiny_search.search_of(SPACE, fresh=lambda key: state, per_epoch=2)
  return answers.begun(method, search, state, 0, [])


@pytest.mark.parametrize('schedule', SCHEDULES)
@pytest.mark.parametrize(
  ('give', 'sentence'),
  [
    (lambda state: None, 'Expected what begin_epoch of the method'),
    (lambda state: state, 'gives as Change, got SearchState'),
    (
      lambda state: Change(state, 'stage 0'),
      'Expected the stage in what begin_epoch of the method',
    ),
  ],
)
def test_no_change(give, sentence, schedule):
  with fails(sentence):
    begun(lambda search, state, epoch, stages: give(state), schedule)


def test_a_change_without_a_state():
  with fails("the state in what begin_epoch of the method 'mine' gives as"):
    begun(lambda *args: Change(None))


@pytest.mark.parametrize('entered', [('foo',), 'foo', ('skip_connect', 'f')])
def test_a_stage_of_what_is_no_operation_of_the_space(entered):
  sentence = (
    'Unknown operation in the stage in what begin_epoch of the method '
    "'mine' gives: 'f"
  )
  with fails(sentence):
    begun(lambda s, state, epoch, st: Change(state, Stage(epoch, entered, {})))


@pytest.mark.parametrize('stage', [None, Stage(0, SPACE.names, {})])
def test_a_supernet_that_nothing_enters(stage):
  state = state_of(darts())
  empty = state.replace(mask=jax.tree.map(lambda m: m & False, state.mask))

  def given(**fields):
    change = Change(empty, stage, **fields)
    return begun(lambda *args: change, state=empty)

  with fails('Expected at least one active operation in what begin_epoch of'):
    given()
  assert given(stop=True).stop  # Of the cells that there are.


def test_one_operation_is_enough():
  state = state_of(darts(), 'skip_connect')
  assert begun(lambda s, state, *args: Change(state), state=state)
