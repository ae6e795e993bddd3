"""The parts of sweeps, by processes that tests make up."""

import time

import pytest

from opp_darts_jax.errors import UserError
from opp_darts_jax.running.sweeps import parts as parts_lib
from opp_darts_jax.running.sweeps.parts import Part, run_all
from opp_darts_jax.running.sweeps.sweep import Sweep, SweepError, run_sweep


class Ended:
  """A part that has been started and has ended, unless an error comes first."""

  def __init__(self, code):
    self.code, self.stops = code, 0

  def poll(self):
    if isinstance(self.code, OSError):
      raise self.code
    return self.code

  def stop(self):
    self.stops += 1


def test_a_part_that_cannot_be_started_stops_no_other(tmp_path):
  parts = [Part(name, tmp_path / name, ()) for name in 'abc']
  launched = []

  def launch(part):
    if part.label == 'b':
      raise UserError('Could not submit b: the queue is full.')
    launched.append(part.label)
    return Ended(0)

  stopped, failed = run_all([[part] for part in parts], 3, launch)
  assert (stopped, launched) == (False, ['a', 'c'])
  assert failed == ['Could not submit b: the queue is full']


def test_failures_are_told_in_the_order_of_the_runs(tmp_path):
  parts = [Part(name, tmp_path / name, ()) for name in 'ab']
  for part in parts:
    part.log.write_text('error: wrong input')
  later, first = Ended(None), Ended(2)
  ended = []

  def poll():
    later.code = 2  # Seen at the next look.
    ended.append('b')
    return 2

  first.poll = poll
  begun = iter([later, first])
  _, failed = run_all([[part] for part in parts], 2, lambda part: next(begun))
  assert ended == ['b']
  assert [said.split(' with ')[0] for said in failed] == ['a', 'b']


def test_a_part_that_runs_elsewhere_is_tried_again(
  tmp_path, monkeypatch, capsys
):
  """After a while, in which others have their turn."""
  monkeypatch.setattr(parts_lib, '_AGAIN', 0.3)
  search, train, other, last = (Part(n, tmp_path / n, ()) for n in 'abcd')
  launched = []

  def launch(part):
    launched.append((part.label, time.monotonic()))
    return Ended(6 if len(launched) == 1 else 0)

  runs = [[search, train], [other, last]]
  assert run_all(runs, 1, launch) == (False, [])
  labels, times = zip(*launched)
  assert labels == ('a', 'c', 'd', 'a', 'b')
  assert times[3] - times[0] >= 0.3
  assert 'a: runs in another process; tried again in' in capsys.readouterr().out


def test_one_that_another_process_has_finished_is_not_tried(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(parts_lib, '_AGAIN', 0.1)
  search, train = (Part(name, tmp_path / name, ()) for name in 'ab')
  launched = []

  def launch(part):
    launched.append(part.label)
    if len(launched) > 1:
      return Ended(0)
    part.folder.mkdir()
    (part.folder / 'results.json').write_text('{}')
    return Ended(6)

  assert run_all([[search, train]], 1, launch) == (False, [])
  assert launched == ['a', 'b']


def test_runs_that_leave_no_results_are_no_finished_sweep(tmp_path):
  sweep = Sweep(('a', 'b'), (1,), tmp_path, train=False)
  with pytest.raises(SweepError, match='2 of 2 runs have ended and left no re'):
    run_sweep(sweep, 2, launch=lambda part: Ended(0))


def test_no_part_is_left_behind_by_an_error(tmp_path):
  parts = [Part(name, tmp_path / name, ()) for name in 'ab']
  begun = [Ended(OSError('the disk is full')), Ended(None)]
  left = iter(begun)
  with pytest.raises(OSError, match='the disk is full'):
    run_all([[part] for part in parts], 2, lambda part: next(left))
  assert [part.stops for part in begun] == [1, 1]
