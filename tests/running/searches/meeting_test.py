"""Tests of which calls of searches go together."""

import types

import pytest

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.operations.target import Target
from opp_darts_jax.running.runs.rounds import Rounds
from opp_darts_jax.running.searches import meeting as meeting_lib
from opp_darts_jax.running.searches.joint_programs import JointPrograms
from opp_darts_jax.running.searches.meeting import Meeting
from opp_darts_jax.running.searches.programs import Programs

CONFIG = SearchConfig()


class State:
  """As much of one as a meeting looks at."""

  def __init__(self, step):
    self.step = step


@pytest.fixture
def met(monkeypatch):
  """A meeting of three, its calls, and a search's programs by its seed."""
  calls = []

  def steps(states, sums, data, keys, rates, count):
    calls.append(('steps', keys, count))
    return tuple(State(s.step + count) for s in states), sums

  def score(totals, states, masks, data, keys, first, count):
    calls.append(('score', keys, first, count))
    return totals

  def evaluate(states, data, tables):
    calls.append(('evaluate', tuple(s.step for s in states), tables))
    return states

  joint = JointPrograms(steps, score, evaluate)
  monkeypatch.setattr(meeting_lib, 'make_joint_programs', lambda *_: joint)
  devices = types.SimpleNamespace(target=Target('gpu'))
  found = Meeting(
    lambda config: Programs(*[None] * 6),
    None,
    devices,
    3,
    Rounds(lambda: False),
  )

  def questions_of(*asked):
    """{search: its question}, from functions of its programs."""
    questions = {}
    for number, call in enumerate(asked):
      make = found.programs_for(lambda q, n=number: questions.setdefault(n, q))
      call(make(SearchConfig(seed=number)), f'key{number}')
    return questions

  return found, calls, questions_of


def steps_from(step, count=2):
  def call(programs, key):
    # What a question gives here is itself.
    with pytest.raises(ValueError, match='unpack'):
      programs.steps(State(step), 'sums', None, key, 0.1, count)

  return call


def score_from(step, first):
  return lambda programs, key: programs.score(
    0, State(step), {}, None, key, first, 1
  )


def test_those_that_are_behind_come_first(met):
  meeting, calls, questions_of = met
  questions = questions_of(steps_from(4), steps_from(2), steps_from(2))
  assert list(meeting.serve(questions)) == [1, 2]
  # The third place is filled with a copy.
  assert calls == [('steps', ('key1', 'key2', 'key1'), 2)]


@pytest.mark.parametrize(
  ('asked', 'answered'),
  [
    ((steps_from(2), steps_from(2), steps_from(2)), [0, 1, 2]),
    ((steps_from(2), steps_from(2, count=1), steps_from(2)), [0, 2]),
    ((steps_from(2), score_from(2, 0), steps_from(2)), [1]),
    ((steps_from(1), score_from(2, 0), steps_from(2)), [0]),
    ((score_from(2, 0), score_from(2, 1), score_from(2, 0)), [0, 2]),
    (
      (lambda p, k: p.evaluate(State(2), None), score_from(2, 0)),
      [0],
    ),
    (
      (
        lambda p, k: p.evaluate(State(2), None),
        lambda p, k: p.evaluate(State(2), None, {'normal': 1}),
      ),
      [0],
    ),
  ],
)
def test_calls_go_together_that_differ_in_what_is_their_own(
  met, asked, answered
):
  meeting, calls, questions_of = met
  assert list(meeting.serve(questions_of(*asked))) == answered
  assert len(calls) == 1
