"""Tests of jobs that take turns."""

import contextlib
import threading

import pytest

from opp_darts_jax.running.searches.turns import Abandoned, take_turns


def all_at_once(questions):
  return {number: 10 * question for number, question in questions.items()}


def smallest_first(questions):
  least = min(questions.values())
  return {n: q for n, q in questions.items() if q == least}


def test_jobs_run_one_at_a_time_and_in_order():
  seen = []
  running = threading.Lock()

  def job_of(number):
    def job(ask):
      for turn in range(3):
        assert running.acquire(blocking=False)
        seen.append((turn, number))
        running.release()
        assert ask(turn) == 10 * turn
      return number

    return job

  ended = take_turns([job_of(n) for n in range(4)], all_at_once)
  assert [one.result for one in ended] == [0, 1, 2, 3]
  assert seen == [(turn, n) for turn in range(3) for n in range(4)]


def test_those_that_are_not_answered_wait():
  rounds = []

  def serve(questions):
    rounds.append(dict(questions))
    return smallest_first(questions)

  def job_of(*questions):
    return lambda ask: [ask(question) for question in questions]

  ended = take_turns([job_of(3, 4), job_of(1, 3), job_of()], serve)
  assert [one.result for one in ended] == [[3, 4], [1, 3], []]
  assert rounds == [{0: 3, 1: 1}, {0: 3, 1: 3}, {0: 4}]


def test_an_expected_error_ends_one_job_alone():
  def fails(ask):
    ask(1)
    raise ValueError('one')

  def works(ask):
    return [ask(n) for n in range(3)]

  ended = take_turns([fails, works], all_at_once, (ValueError,))
  assert str(ended[0].error) == 'one'
  assert ended[1].result == [0, 10, 20]


@pytest.mark.parametrize('by', ['job', 'serve'])
def test_any_other_error_ends_all_and_they_clean_up(by):
  cleaned = []

  def serve(questions):
    if by == 'serve' and 2 in questions.values():
      raise KeyError('two')
    return all_at_once(questions)

  def job_of(number):
    def job(ask):
      try:
        for turn in range(4):
          if by == 'job' and (number, turn) == (1, 2):
            raise KeyError('two')
          with contextlib.suppress(Exception):  # As careless jobs do.
            ask(turn)
      except Abandoned:
        cleaned.append(number)
        raise

    return job

  with pytest.raises(KeyError, match='two'):
    take_turns([job_of(n) for n in range(3)], serve, (ValueError,))
  assert cleaned == ([0, 2] if by == 'job' else [0, 1, 2])
