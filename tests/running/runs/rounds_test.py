"""Tests of what runs that take turns have in common."""

from opp_darts_jax.running.runs import loop
from opp_darts_jax.running.runs.rounds import Rounds


def test_all_see_the_same_until_a_round_is_over():
  asked = []
  rounds = Rounds(lambda: bool(asked))
  asked.append(True)
  assert not rounds.stops
  rounds.next()
  assert rounds.stops


def test_the_pace_is_that_of_rounds(monkeypatch):
  now = [100.0]
  monkeypatch.setattr(loop.time, 'monotonic', lambda: now[0])
  rounds = Rounds(lambda: False)
  for run in range(3):
    rounds.start()
  sizes = []
  for _ in range(6):
    rounds.next()
    sizes.append(rounds.size)
    now[0] += 0.1 * rounds.size
    for run in range(3):
      rounds.finish(sizes[-1])
      assert rounds.size == sizes[-1]
  assert sizes == [1, 2, 4, 8, 10, 10]


def test_a_pause_is_no_dispatch(monkeypatch):
  now = [100.0]
  monkeypatch.setattr(loop.time, 'monotonic', lambda: now[0])
  rounds = Rounds(lambda: False)
  for run in range(2):
    rounds.start()
  rounds.next()
  for _ in range(3):
    now[0] += 0.5
    for run in range(2):  # Each saves before it goes on.
      rounds.finish(1)
      now[0] += 0.1
      rounds.start()
    rounds.next()
    assert rounds.size in (1, 2)
