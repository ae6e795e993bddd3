"""Whether the process of a session still runs."""

import os
import socket

import pytest

from opp_darts_jax.running.workdirs import sessions

HERE = {'host': socket.gethostname(), 'pid': os.getpid(), 'started': 1.0}


@pytest.mark.parametrize(
  ('fields', 'alive'),
  [
    ({}, True),
    ({'ended': 2.0}, False),
    ({'host': 'another', 'pid': 0}, True),
    ({'pid': 'none'}, False),
  ],
)
def test_alive_as_far_as_can_be_seen(fields, alive):
  assert sessions.is_alive(HERE | fields) == alive


@pytest.mark.parametrize(
  ('error', 'alive'), [(PermissionError, True), (ProcessLookupError, False)]
)
def test_a_process_of_another_user_is_alive(monkeypatch, error, alive):
  def kill(number, signal):
    raise error

  monkeypatch.setattr(os, 'kill', kill)
  assert sessions.is_alive(HERE) == alive
