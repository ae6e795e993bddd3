"""Traces of some steps, and that they change nothing."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from tiny_runs import SEARCH, TRAIN, KillError, contents

from opp_darts_jax.errors import UserError
from opp_darts_jax.running.runs import profiler
from opp_darts_jax.running.runs.profiler import Profiler
from opp_darts_jax.running.searches.search import run_search
from opp_darts_jax.running.trainings.training import run_training


@pytest.fixture
def events(monkeypatch):
  """What happens in order: dispatches, and traces that begin and end."""
  events = []
  monkeypatch.setattr(
    jax.profiler, 'start_trace', lambda folder: events.append('start')
  )
  monkeypatch.setattr(jax.profiler, 'stop_trace', lambda: events.append('stop'))
  return events


@pytest.mark.parametrize(
  ('steps', 'taken', 'counts', 'expected'),
  [
    (None, 0, [4, 3], [4, 3]),
    ((3, 4), 0, [7], [2, 0, 'start', 1, 1, 'stop', 3]),
    ((1, 1), 0, [4], [0, 'start', 1, 'stop', 3]),
    ((4, 6), 0, [4, 1, 3], [3, 0, 'start', 1, 1, 1, 'stop', 2]),
    ((5, 5), 0, [4, 1, 3], [4, 0, 'start', 1, 'stop', 3]),
    ((8, 9), 0, [4, 3], [4, 3]),
    ((6, 7), 0, [4, 3], [4, 1, 0, 'start', 1, 1, 'stop']),
    ((2, 3), 3, [4], [4]),
    ((2, 5), 3, [4], [0, 'start', 1, 1, 'stop', 2]),
    ((7, 9), 3, [4], [3, 0, 'start', 1, 'stop']),
  ],
)
def test_which_steps_are_traced(
  tmp_path, events, steps, taken, counts, expected
):
  said = []

  def dispatch(state, sums, count):
    events.append(count)
    return state + count, sums

  with Profiler(steps, tmp_path, said.append) as own:
    traced = own.around(dispatch, taken)
    state = jnp.int32(taken)
    for count in counts:
      state, _ = traced(state, 0.0, count)
  assert events == expected
  assert int(state) == taken + sum(counts)
  if steps is None:
    assert not said
  elif 'stop' in expected:  # The last case ends in the midst of its steps.
    begun, end = max(steps[0], taken + 1), min(steps[1], taken + sum(counts))
    assert len(said) == 1
    assert f'steps {begun} to {end}: {tmp_path}/profile,' in said[0]
  else:
    first, last = steps
    assert said == [f'no profile: no step of {first} to {last} was taken here']


def test_a_trace_goes_on_over_the_end_of_an_epoch(tmp_path, events):
  def dispatch(state, sums, count):
    events.append(count)
    return state, sums

  with Profiler((3, 4), tmp_path, print) as own:
    own.around(dispatch, 0)(0, 0, 3)
    events.append('evaluation')
    own.around(dispatch, 3)(0, 0, 3)
  assert events == [2, 0, 'start', 1, 'evaluation', 1, 'stop', 2]


@pytest.mark.parametrize('text', ['3', 'a,b', '3,', '3,4,5', '-1,2', '1.5,2'])
def test_what_is_no_pair_of_steps_is_a_sentence(text):
  with pytest.raises(UserError, match='the first and the last step .* 10,12;'):
    profiler.parse(text)


def test_pairs_of_steps():
  assert profiler.parse('') is None
  assert profiler.parse('10, 12') == (10, 12)


@pytest.mark.parametrize('steps', [(0, 2), (3, 2), (2, 10), (10, 12)])
def test_steps_that_a_run_does_not_have(tmp_path, steps):
  with pytest.raises(
    UserError, match=f'of 1 to 9, the steps of .* got {steps[0]},{steps[1]}'
  ):
    run_search(SEARCH, tmp_path / 'run', profile_steps=steps, quiet=True)
  assert not (tmp_path / 'run').exists()


def test_a_trace_at_a_time(tmp_path, monkeypatch):
  def fail(folder):
    raise RuntimeError('Profile has already been started.')

  monkeypatch.setattr(jax.profiler, 'start_trace', fail)
  with (
    Profiler((1, 1), tmp_path, print) as own,
    pytest.raises(UserError, match='no other trace .* already been started'),
  ):
    own.around(lambda *given: given[:2], 0)(0, 0, 1)


def traces(workdir):
  return list((workdir / 'profile').rglob('*.xplane.pb'))


@pytest.mark.usefixtures('toys')
def test_a_search_is_traced_and_its_numbers_are_the_same(tmp_path, capsys):
  def run(name, on_epoch=(), **fields):
    return run_search(
      SEARCH, tmp_path / name, on_epoch=on_epoch, signals=False, **fields
    )

  whole = run('whole')
  capsys.readouterr()

  def kill(record):
    if record.epoch == 2:
      raise KillError

  traced = tmp_path / 'traced'
  with pytest.raises(KillError):
    run('traced', kill, profile_steps=(2, 4))
  assert f'profile of steps 2 to 4: {traced}/profile' in capsys.readouterr().out
  assert len(traces(traced)) == 1
  # What goes on after them traces nothing.
  assert run('traced', profile_steps=(2, 4)) == whole
  assert len(traces(traced)) == 1
  assert contents(traced) == contents(tmp_path / 'whole')


def test_a_training_is_traced_and_its_numbers_are_the_same(tmp_path):
  config = dataclasses.replace(TRAIN, seeds=(0,))
  expected = run_training(TRAIN, tmp_path / 'whole', signals=False, quiet=True)
  found = run_training(
    config, tmp_path / 'seeds', signals=False, quiet=True, profile_steps=(1, 2)
  )
  assert found['test_loss'] == expected['test_loss']
  traced = tmp_path / 'seeds' / 'seed0'
  assert len(traces(traced)) == 1
  names = ('metrics.jsonl',)
  assert contents(traced, names) == contents(tmp_path / 'whole', names)
