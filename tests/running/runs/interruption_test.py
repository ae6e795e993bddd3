"""Tests of what signals do."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from opp_darts_jax.running.runs.interruption import SIGNALS, Interruption


@pytest.mark.parametrize('number', SIGNALS)
def test_the_first_signal_is_noted_and_handlers_come_back(number):
  before = signal.getsignal(number)
  with Interruption() as interruption:
    assert not interruption.requested
    signal.raise_signal(number)
    until = time.monotonic() + 60
    while not interruption.requested and time.monotonic() < until:
      time.sleep(0.01)
    assert interruption.requested
  assert signal.getsignal(number) == before
  assert signal.set_wakeup_fd(-1) == -1


def test_another_thread_is_left_alone():
  found = []

  def enter():
    with Interruption() as interruption:
      found.append(interruption.requested)

  thread = threading.Thread(target=enter)
  thread.start()
  thread.join()
  assert found == [False]


@pytest.mark.parametrize(
  ('number', 'code'), [('SIGTERM', 143), ('SIGINT', 130)]
)
def test_the_second_signal_ends_even_what_python_cannot_interrupt(number, code):
  # A lock of C's, as a compilation holds: no handler of Python's runs.
  program = (
    'import ctypes\n'
    'from opp_darts_jax.running.runs.interruption import Interruption\n'
    'with Interruption():\n'
    "  print('ready', flush=True)\n"
    '  libc = ctypes.CDLL(None)\n'
    '  for _ in range(100): libc.usleep(900000)\n'
  )
  with subprocess.Popen(
    [sys.executable, '-c', program],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  ) as run:
    assert run.stdout.readline() == 'ready\n'
    run.send_signal(getattr(signal, number))
    assert 'a second signal stops at once' in run.stderr.readline()
    # At once it may be the first one again, by another way.
    run.send_signal(getattr(signal, number))
    time.sleep(1.5)
    assert run.poll() is None
    begin = time.monotonic()
    run.send_signal(getattr(signal, number))
    assert run.wait(timeout=80) == code
    assert time.monotonic() - begin < 60
