"""What the files of a run say of its processes."""

import json
import os
import socket
import time

import pytest
from run_files import write_search

from opp_darts_jax.reporting import run_files
from opp_darts_jax.running.workdirs import sessions

# All of them would be taken as alive, each alone; the steps took 90 seconds.
KILLED = {
  'elsewhere': {'started': 100.0, 'host': 'elsewhere', 'pid': 1},
  'number in use': {
    'started': 100.0,
    'host': socket.gethostname(),
    'pid': os.getpid(),
  },
}
RESULTS = {'ended_by': 'all epochs'}


def read(folder, lines, results=None):
  write_search(folder)
  (folder / sessions.RUN).write_text(json.dumps({'sessions': lines}))
  if results:
    (folder / 'results.json').write_text(json.dumps(results))
  return run_files.read_run(folder)


@pytest.mark.parametrize('killed', KILLED.values(), ids=KILLED)
def test_the_last_process_alone_may_be_alive(tmp_path, killed):
  assert sessions.is_alive(killed)
  ended = {**killed, 'started': 500.0, 'ended': 520.0, 'by': 'interrupted'}
  run = read(tmp_path, [killed, ended])
  assert (run.state, run.seconds) == ('interrupted', 90.0)
  longer = {**ended, 'ended': 700.0}
  assert read(tmp_path, [killed, killed, longer]).seconds == 200.0
  now = {**killed, 'started': time.time() - 300.0}
  run = read(tmp_path, [longer, killed, now])
  assert (run.state, run.seconds) == ('running', pytest.approx(500.0, abs=60))


@pytest.mark.parametrize('killed', KILLED.values(), ids=KILLED)
def test_no_process_of_a_finished_run_is_alive(tmp_path, killed):
  run = read(tmp_path, [killed], RESULTS)
  assert (run.state, run.seconds) == ('finished', 90.0)
