"""Launchers as processes, as a user starts them."""

import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]
DATA = ('--config.data.max_train=96', '--config.data.max_test=40')

QUICK = {
  'JAX_PLATFORMS': 'cpu',
  'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
  'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.1',
}


def with_devices(count: int) -> dict[str, str]:
  """The environment of a process whose CPU pretends to be many devices."""
  flags = f'--xla_force_host_platform_device_count={count}'
  given = os.environ.get('XLA_FLAGS', '')
  return os.environ | QUICK | {'XLA_FLAGS': f'{given} {flags}'}


def command(launcher: str, *flags: str) -> list[str]:
  """The command line of a launcher."""
  return [sys.executable, '-m', 'opp_darts_jax', launcher, *flags]


def start(line: Sequence[str], **kwargs: Any) -> subprocess.Popen[str]:
  """Starts a command on CPU, where compiling takes most of the time."""
  return subprocess.Popen(
    line,
    cwd=ROOT,
    env=os.environ | QUICK,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    **kwargs,
  )


def run(line: Sequence[str]) -> subprocess.CompletedProcess[str]:
  """Runs a command on CPU to its end."""
  process = start(line)
  said, wrong = process.communicate()
  return subprocess.CompletedProcess(line, process.returncode, said, wrong)


def launch(launcher: str, *flags: str) -> subprocess.CompletedProcess[str]:
  """Runs a launcher to its end."""
  return run(command(launcher, *flags))
