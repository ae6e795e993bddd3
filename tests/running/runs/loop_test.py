"""Tests of the loop over an epoch's steps."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax.errors import DivergedError
from opp_darts_jax.running.runs import loop
from opp_darts_jax.running.runs.loop import Pace, Position

VALUES = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]


class Sums(NamedTuple):
  train_loss: jax.Array
  train_accuracy: jax.Array


ZEROS = Sums(jnp.zeros(()), jnp.zeros(()))


class StopError(Exception):
  pass


def run(
  values,
  log_steps,
  size,
  start=None,
  due=lambda at: False,
  room=lambda at: len(VALUES),
):
  """An epoch with these losses of its steps, and what happened in order."""
  events = []
  pace = Pace()
  pace.size = size
  pace.finish = lambda size: None

  def dispatch(state, sums, size):
    events.append(('dispatch', state, size))
    own = jnp.array(values[state : state + size])
    return state + size, Sums(sums[0] + own.sum(), sums[1] - own.sum())

  def log(done, size, means):
    events.append(('log', done, size, means))

  def save(state, position):
    events.append(('save', state, position))
    raise StopError

  start = start or Position(0, ZEROS, {})
  try:
    result = loop.run_epoch(
      dispatch,
      start.done,
      start,
      ZEROS,
      len(values),
      log_steps,
      pace,
      log,
      due,
      save,
      room,
    )
  except StopError:
    result = None
  return result, events


@pytest.mark.parametrize('size', [1, 2, 3, 20])
@pytest.mark.parametrize('log_steps', [1, 2, 3, 7, 20])
def test_means_are_over_steps_whatever_the_pieces(log_steps, size):
  (state, means), events = run(VALUES, log_steps, size)
  assert state == 7
  assert list(means) == ['train_loss', 'train_accuracy']
  np.testing.assert_allclose(means['train_loss'], np.mean(VALUES), rtol=1e-6)
  np.testing.assert_allclose(means['train_accuracy'], -np.mean(VALUES), 1e-6)
  lines = [e for e in events if e[0] == 'log']
  expected = [*range(log_steps, 7, log_steps), 7]
  assert [line[1] for line in lines] == expected
  begins = [0, *expected]
  for (_, end, count, found), begin in zip(lines, begins):
    assert count == end - begin
    np.testing.assert_allclose(
      found['train_loss'], np.mean(VALUES[begin:end]), rtol=1e-6
    )


def test_a_line_is_written_while_the_next_steps_run():
  _, events = run([1.0, 3.0, 5.0, 7.0, 10.0], 2, 2)
  assert events == [
    ('dispatch', 0, 2),
    ('dispatch', 2, 2),
    ('log', 2, 2, {'train_loss': 2.0, 'train_accuracy': -2.0}),
    ('dispatch', 4, 1),
    ('log', 4, 2, {'train_loss': 6.0, 'train_accuracy': -6.0}),
    ('log', 5, 1, {'train_loss': 10.0, 'train_accuracy': -10.0}),
  ]


@pytest.mark.parametrize('at', range(1, 7))
@pytest.mark.parametrize('log_steps', [1, 3, 20])
def test_what_is_saved_is_all_that_is_needed(at, log_steps):
  (_, whole), events = run(VALUES, log_steps, 1)
  _, before = run(VALUES, log_steps, 1, due=lambda done: done == at)
  kind, state, position = before[-1]
  assert (kind, state, position.done) == ('save', at, at)
  (_, means), after = run(VALUES, log_steps, 2, start=position)
  assert means == whole
  lines = [e for e in events if e[0] == 'log']
  assert [e for e in before + after if e[0] == 'log'] == lines


def test_no_dispatch_passes_a_step_at_which_it_may_be_saved():
  _, events = run(VALUES, 20, 20, room=lambda at: 3 - at % 3)
  dispatched = [e[1:] for e in events if e[0] == 'dispatch']
  assert dispatched == [(0, 3), (3, 3), (6, 1)]


@pytest.mark.parametrize('loss', [np.nan, np.inf])
@pytest.mark.parametrize('step', [0, 3, 4])
def test_a_loss_that_is_not_finite_ends_the_epoch(loss, step):
  values = [1.0] * 5
  values[step] = loss
  with pytest.raises(
    DivergedError, match=f'must be finite, but is {loss}: .*diver'
  ):
    run(values, 2, 1)


def test_the_pace_is_a_second_of_steps(monkeypatch):
  now = [100.0]
  monkeypatch.setattr(loop.time, 'monotonic', lambda: now[0])
  pace = Pace()
  pace.start()
  sizes = []
  for seconds_a_step in [0.1] * 5 + [5.0] + [0.1] * 2:
    size = pace.size
    sizes.append(size)
    now[0] += size * seconds_a_step
    pace.finish(size)
  assert sizes == [1, 2, 4, 8, 10, 10, 1, 2]
