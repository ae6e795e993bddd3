"""Real runs: stopped, short of disk, diverging, or in several processes."""

import json
import re
import resource
import signal
import socket
import time

import launched
import numpy as np
import pytest
import toy_launcher
from kill_runs import outcome
from launched import Forked

from opp_darts_jax.running.processor import processor

# Of a small network, and of more epochs, so that there is time to stop it.
SEARCH = (
  'search',
  *launched.SEARCH,
  '--config.epochs=12',
  '--config.schedule.stage_epochs=2',
)
TOYS = toy_launcher.__file__


def search(workdir, *flags, **kwargs):
  """(exit code, what was said, the error) of a search."""
  run = Forked(TOYS, *SEARCH, f'--workdir={workdir}', *flags, **kwargs)
  said, wrong = run.communicate()
  return run.returncode, said, wrong


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('runs') / 'search'
  code, _, wrong = search(workdir)
  assert code == 0, wrong
  return workdir


def test_several_seeds_stop_and_go_on(finished, tmp_path):
  workdir = tmp_path / 'seeds'
  flags = *SEARCH, f'--workdir={workdir}', '--config.search_seeds=(0,3)'
  run = Forked(TOYS, *flags)
  wait_for_epochs(workdir / 'seed3', 2, run)
  run.send_signal(signal.SIGTERM)
  _, wrong = run.communicate()
  assert run.returncode == 75, wrong
  assert 'stopped: 0 of 2 searches are finished' in wrong
  run = Forked(TOYS, *flags)
  said, wrong = run.communicate()
  assert run.returncode == 0, wrong
  assert 'seed 0: finished, 0.' in said
  # Seed 0 is that of a search by itself.
  for name in ('config.json', 'metrics.jsonl', 'alphas.jsonl', 'results.json'):
    own = (workdir / 'seed0' / name).read_bytes()
    assert own == (finished / name).read_bytes()


def epochs(workdir):
  lines = workdir / 'metrics.jsonl'
  return lines.exists() and lines.read_text().count('"kind": "epoch"')


def wait_for_epochs(workdir, count, run):
  until = time.monotonic() + 600
  while time.monotonic() < until and run.poll() is None:
    if epochs(workdir) >= count:
      break
    time.sleep(0.01)


def test_a_run_goes_on_after_every_kind_of_end(finished, tmp_path):
  """It has no room for a checkpoint, is asked to stop, and is killed."""
  workdir = tmp_path / 'run'
  # Files may have 4 kB: enough for the config, too little for checkpoints.
  code, _, wrong = search(workdir, limits={resource.RLIMIT_FSIZE: 4000})
  assert code == 8, wrong
  # Threads of the storage may tell of their own trouble, in the same line.
  assert re.search(
    r'error: A checkpoint could not be written to \S+: .*; make room and give '
    r'the same command again\.\n',
    wrong,
  ), wrong
  for number, code in ((signal.SIGTERM, 75), (signal.SIGKILL, -9)):
    run = Forked(TOYS, *SEARCH, f'--workdir={workdir}')
    wait_for_epochs(workdir, epochs(workdir) + 2, run)
    run.send_signal(number)
    _, wrong = run.communicate()
    assert run.returncode == code, wrong
    if code == 75:
      assert 'stopped: not finished, ' in wrong
      assert 'the same command goes on from there' in wrong
  code, said, wrong = search(workdir)
  assert code == 0, wrong
  assert 'going on after step' in said
  assert outcome(workdir) == outcome(finished)


def test_a_search_that_diverges(tmp_path):
  code, _, wrong = search(tmp_path, '--config.weights.learning_rate=1e30')
  assert code == 3
  assert 'Traceback' not in wrong
  assert 'diverged; lower weights.learning_rate' in wrong


def alphas_of(workdir):
  """By epoch and cell, the alphas of active operations."""
  lines = (workdir / 'alphas.jsonl').read_text().splitlines()
  return [
    np.array(record[cell], float)
    for record in map(json.loads, lines)
    for cell in ('normal', 'reduce')
  ]


def search_in_two(workdir, monkeypatch):
  """Two processes of one search."""
  with socket.socket() as free:
    free.bind(('localhost', 0))
    address = f'localhost:{free.getsockname()[1]}'
  monkeypatch.setenv('JAX_COORDINATOR_ADDRESS', address)
  monkeypatch.setenv('JAX_NUM_PROCESSES', '2')
  runs = []
  flags = *SEARCH, '--distributed', f'--workdir={workdir}'
  for process in '01':
    monkeypatch.setenv('JAX_PROCESS_ID', process)
    runs.append(Forked(TOYS, *flags))
  return runs


def test_two_processes_search_as_one(finished, tmp_path, monkeypatch):
  runs = search_in_two(tmp_path, monkeypatch)
  wait_for_epochs(tmp_path, 3, runs[0])
  runs[1].send_signal(signal.SIGTERM)  # They stop together.
  (_, wrong), _ = (run.communicate() for run in runs)
  assert [run.returncode for run in runs] == [75, 75], wrong
  runs = search_in_two(tmp_path, monkeypatch)
  (said, wrong), (quiet, warned) = (run.communicate() for run in runs)
  assert [run.returncode for run in runs] == [0, 0], wrong
  assert 'lines that were lost' not in warned
  assert f'2 of {processor()} (cpu) in 2 processes' in said
  assert 'going on after step' in said
  assert 'epoch' not in quiet
  found, expected = alphas_of(tmp_path), alphas_of(finished)
  assert len(found) == len(expected) == 24
  # Twenty-one steps; later, roundings of the sums part the two.
  for ours, theirs in zip(found[:14], expected):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)
  genotypes = [
    (workdir / 'genotype.json').read_text() for workdir in (tmp_path, finished)
  ]
  assert genotypes[0] == genotypes[1]
