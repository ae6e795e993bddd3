"""Tests of a run's life, with steps that cost nothing."""

import collections
import dataclasses
import json
import os
import shutil
import signal
import types
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax import files
from opp_darts_jax.config import RunConfig
from opp_darts_jax.errors import CheckpointError, NotFinished, WriteError
from opp_darts_jax.running.runs import run as run_lib
from opp_darts_jax.running.runs.loop import Pace
from opp_darts_jax.running.runs.rounds import Shared
from opp_darts_jax.running.runs.run import Options, open_run


@dataclasses.dataclass(frozen=True)
class Config(RunConfig):
  epochs: int = 4
  log_steps: int = 3


class Sums(NamedTuple):
  train_loss: jax.Array
  train_accuracy: jax.Array


PER_EPOCH = 7
ZEROS = Sums(jnp.zeros(()), jnp.zeros(()))
FILES = ('metrics.jsonl', 'notes.jsonl')


class KillError(Exception):
  pass


def go(workdir, config=Config(), leaves=2, at=None, do=None):
  """A run to the end; before the dispatch of step `at` something is done."""
  first = {'w': jnp.zeros(leaves), 'step': jnp.int32(0)}
  with open_run(
    workdir, config, PER_EPOCH, lambda known: first, ZEROS, Options()
  ) as run:
    notes = run.lines('notes.jsonl')

    def dispatch(state, sums, count):
      if at is not None and int(state['step']) <= at < state['step'] + count:
        do()
      for _ in range(count):
        state = {
          'w': state['w'] * 0.9 + jnp.arange(leaves) + state['step'] / 7,
          'step': state['step'] + 1,
        }
        loss = state['w'].sum()
        sums = Sums(sums[0] + loss, sums[1] + 1 / loss)
      return state, sums

    state, known = run.state, run.known
    begun = run.step
    for epoch in range(run.epoch, config.epochs):
      state, means = run.steps(dispatch, state, epoch, 0.1, known)
      run.writer.write('epoch', int(state['step']), epoch, **means)
      notes.write({'epoch': epoch, 'w': state['w']})
      known = {'seen': [*known.get('seen', []), epoch]}
      run.end_epoch(state, epoch, known)
  return begun, np.asarray(state['w']), known


def kill():
  raise KillError


def contents(workdir):
  return [(workdir / name).read_bytes() for name in FILES]


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('whole')
  return workdir, go(workdir)


def check_same(workdir, result, whole):
  np.testing.assert_array_equal(result[1], whole[1][1])
  assert result[2] == whole[1][2] == {'seen': [0, 1, 2, 3]}
  assert contents(workdir) == contents(whole[0])


def check_times(workdir):
  """Every step of an epoch is told of once, whichever session took it."""
  steps = collections.Counter()
  for line in files.read_lines(workdir / 'times.jsonl'):
    assert line['steps'] > 0
    assert line['seconds'] >= 0
    steps[line['epoch']] += line['steps']
  assert steps == dict.fromkeys(range(4), PER_EPOCH)


@pytest.mark.parametrize('at', [0, 6, 7, 27])
def test_a_run_that_dies_goes_on_from_the_last_epoch(tmp_path, whole, at):
  with pytest.raises(KillError):
    go(tmp_path, at=at, do=kill)
  result = go(tmp_path)
  assert result[0] == at // PER_EPOCH * PER_EPOCH
  check_same(tmp_path, result, whole)


SAVING = Config(save_steps=4)


@pytest.fixture(scope='module')
def whole_saving(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('saving')
  return workdir, go(workdir, SAVING)


@pytest.mark.parametrize('at', [1, 9, 16])
def test_checkpoints_within_an_epoch(tmp_path, whole_saving, at):
  with pytest.raises(KillError):
    go(tmp_path, SAVING, at=at, do=kill)
  result = go(tmp_path, SAVING)
  # At the steps that were asked for, and at the end of each epoch.
  saved = {*range(0, 28, 4), *range(0, 28, PER_EPOCH)}
  assert result[0] == max(step for step in saved if step <= at)
  check_same(tmp_path, result, whole_saving)
  check_times(tmp_path)


@pytest.mark.parametrize('at', [0, 6, 13])
def test_a_signal_saves_the_step_and_stops(tmp_path, whole, at):
  with pytest.raises(NotFinished, match=r'not finished, \d+ of 28 steps'):
    go(tmp_path, at=at, do=lambda: signal.raise_signal(signal.SIGTERM))
  result = go(tmp_path)
  assert result[0] > at
  check_same(tmp_path, result, whole)
  check_times(tmp_path)


def test_a_finished_run_is_left_alone(tmp_path, whole):
  shutil.copytree(whole[0], tmp_path / 'run')
  result = go(tmp_path / 'run')
  assert result[0] == 28
  check_same(tmp_path / 'run', result, whole)


def test_a_full_disk_stops_the_run_which_then_goes_on(
  tmp_path, whole, monkeypatch
):
  def fill():
    monkeypatch.setattr(
      shutil, 'disk_usage', lambda path: shutil._ntuple_diskusage(9, 4, 5)
    )

  with pytest.raises(
    WriteError, match=r'A checkpoint of 0\.0 MB must fit on the disk of .* free'
  ):
    go(tmp_path, at=9, do=fill)
  monkeypatch.undo()
  result = go(tmp_path)
  assert result[0] == 7
  check_same(tmp_path, result, whole)


def damage(checkpoint):
  """Cuts the largest file of a checkpoint's state short."""
  files = [p for p in (checkpoint / 'state').rglob('*') if p.is_file()]
  largest = max(files, key=lambda path: path.stat().st_size)
  os.truncate(largest, largest.stat().st_size // 2)


def flip(checkpoint):
  """Changes a bit of every larger file of a checkpoint's state."""
  for path in (checkpoint / 'state').rglob('*'):
    if path.is_file() and path.stat().st_size > 200:
      data = bytearray(path.read_bytes())
      data[len(data) // 2] ^= 4
      path.write_bytes(data)


def empty(checkpoint):
  shutil.rmtree(checkpoint / 'state')


def change_a_number(checkpoint):
  """As a disk may that its own checksums do not tell of."""
  (path,) = (checkpoint / 'manifest').rglob('metadata')
  fields = json.loads(path.read_text())
  fields['checksum'] += 1
  path.write_text(json.dumps(fields))


@pytest.mark.parametrize('how', [damage, flip, empty, change_a_number])
def test_a_damaged_checkpoint_falls_back(tmp_path, whole, how, capsys):
  run = tmp_path / 'run'
  shutil.copytree(whole[0], run)
  how(run / 'checkpoints' / '28')
  result = go(run)
  assert result[0] == 21
  said = capsys.readouterr().out
  assert 'The checkpoint of step 28 is damaged (' in said
  assert f'one of step 21; it was moved to {run}/damaged_checkpoint_28' in said
  check_same(run, result, whole)


def test_without_a_whole_checkpoint_nothing_is_touched(tmp_path, whole):
  run = tmp_path / 'run'
  shutil.copytree(whole[0], run)
  for checkpoint in (run / 'checkpoints').iterdir():
    damage(checkpoint)
  with pytest.raises(
    CheckpointError, match='can be read, the newest one, of step 28, because'
  ):
    go(run)
  shutil.rmtree(run / 'checkpoints')
  with pytest.raises(CheckpointError, match='numbers of 4 epochs, but .* no'):
    go(run)
  assert contents(run) == contents(whole[0])


def test_a_checkpoint_of_another_state_is_refused(tmp_path, whole):
  run = tmp_path / 'run'
  shutil.copytree(whole[0], run)
  with pytest.raises(
    CheckpointError,
    match=r'another run: state/w should be float32\[3\] and is float32\[2\]',
  ):
    go(run, leaves=3)
  assert contents(run) == contents(whole[0])


def test_the_newest_checkpoints_are_kept_whatever_the_accuracy(whole):
  kept = {path.name for path in (whole[0] / 'checkpoints').iterdir()}
  assert kept == {'21', '28'}


def test_runs_that_take_turns_share_the_seconds(tmp_path, monkeypatch):
  readings = iter((100.0, 110.0))
  clock = types.SimpleNamespace(monotonic=lambda: next(readings))
  shared = Shared(Pace(), lambda: False, print, lambda: 4)
  options = Options(quiet=True, shared=shared)
  with open_run(
    tmp_path, Config(), PER_EPOCH, lambda known: {}, ZEROS, options
  ) as run:
    monkeypatch.setattr(run_lib, 'time', clock)
    with run.timed(0):
      pass
  assert files.read_lines(tmp_path / 'times.jsonl') == [
    {'epoch': 0, 'steps': 0, 'seconds': 2.5}
  ]


def test_times_are_kept_apart_from_what_is_the_same(whole):
  times = files.read_lines(whole[0] / 'times.jsonl')
  assert [(t['epoch'], t['steps']) for t in times] == [(n, 7) for n in range(4)]
  assert 'seconds' not in (whole[0] / 'metrics.jsonl').read_text()
