"""What a method gives of another kind is told, whatever is around it."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_search

from opp_darts_jax.config import ScheduleConfig
from opp_darts_jax.errors import NotFinished, UserError
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


def given(hook, value, schedule, asked):
  """What is asked of a method whose hook gives this value."""
  method = darts()._replace(**{'name': 'mine', hook: lambda *args: value})
  method = scheduled(method, ScheduleConfig(name=schedule))
  search = tiny_search.search_of(SPACE, per_epoch=2)
  return asked(method, search, state_of(method))


@pytest.mark.parametrize('schedule', SCHEDULES)
@pytest.mark.parametrize('value', [None, {}, 'cells'])
def test_no_genotype(value, schedule):
  what = 'Expected what derive of the method '
  with fails(what) as error:
    given('derive', value, schedule, answers.derived)
  assert f'gives as Genotype, got {type(value).__name__}' in str(error.value)


def told(method, search, state):
  return answers.told(method, search, state, None)


@pytest.mark.parametrize('schedule', SCHEDULES)
@pytest.mark.parametrize(
  ('value', 'got'),
  [
    (None, 'NoneType'),
    (7.0, 'float'),
    ({'a': 1.0, 'b': 'high'}, "'high' as 'b'"),
    ({'a': None}, "None as 'a'"),
    ({1: 2.0}, '2.0 as 1'),
    ({'a': np.ones(3)}, "array([1., 1., 1.]) as 'a'"),
  ],
)
def test_no_numbers(value, got, schedule):
  with fails('Expected what numbers of the method ') as error:
    given('numbers', value, schedule, told)
  assert f'gives as a dict of numbers by name, got {got}.' in str(error.value)


def test_numbers_of_any_kind():
  value = {'a': 1, 'b': np.float32(2), 'c': jnp.ones(()), 'd': float('nan')}
  assert given('numbers', value, 'plain', told) == value


@pytest.mark.parametrize(
  'name', ['epoch', 'eval_accuracy', 'skip_normal', 'truth_rank', 'genotype']
)
@pytest.mark.parametrize('schedule', SCHEDULES)
def test_names_that_are_taken(name, schedule):
  with fails(f'what a search records without it: {name}.'):
    given('numbers', {'fine': 1.0, name: 7.0}, schedule, told)


@pytest.mark.parametrize('value', [None, '0.1', np.ones(2)])
def test_no_rate(value):
  def asked(method, search, state):
    return answers.rate(method, search.config, 0, [])

  sentence = (
    "Expected what learning_rate of the method 'mine' gives as a number"
  )
  with fails(sentence):
    given('learning_rate', value, 'plain', asked)


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


def test_losses_of_a_stage_are_pythons_own():
  losses = {'skip_connect': np.float32(1.5), 'sep_conv_3x3': jnp.ones(())}
  stage = Stage(0, SPACE.names, losses)
  change = begun(lambda s, state, *args: Change(state, stage))
  assert json.dumps(change.stage.losses) == json.dumps(
    {'skip_connect': 1.5, 'sep_conv_3x3': 1.0}
  )
  with fails('the losses of the stage in what begin_epoch of the method'):
    begun(lambda s, state, *args: Change(state, stage._replace(losses=[1.5])))


ASKED = [
  ('begin_epoch', lambda *asked: answers.begun(*asked, 0, [])),
  # In which nothing enters.
  ('begin_epoch', lambda *asked: answers.begun(*asked, 1, [Stage(0, (), {})])),
  ('derive', answers.derived),
  ('numbers', told),
  (
    'learning_rate',
    lambda method, search, _: answers.rate(method, search.config, 0, []),
  ),
]


@pytest.mark.parametrize('schedule', SCHEDULES)
@pytest.mark.parametrize(('hook', 'ask'), ASKED)
def test_what_a_users_hook_raises_is_a_sentence(hook, ask, schedule):
  def fail(*args):
    raise error

  method = darts()._replace(**{'name': 'mine', hook: fail})
  config = ScheduleConfig(name=schedule, selection='random')
  method = scheduled(method, config)
  state = state_of(method)
  search = tiny_search.search_of(
    SPACE, fresh=lambda key: state, per_epoch=2, curvature=lambda state: 1.0
  )
  error = KeyError('depth')
  with fails(f'{hook} of the method ') as caught:
    ask(method, search, state)
  line = fail.__code__.co_firstlineno + 1
  said = f"in {__file__}, failed: KeyError at line {line}: 'depth'."
  assert said in str(caught.value)
  # The end of a run, and what a device says, stay as they are.
  for error in (NotFinished('later'), jax.errors.JaxRuntimeError('memory')):
    with pytest.raises(type(error), match=str(error)):
      ask(method, search, state)
