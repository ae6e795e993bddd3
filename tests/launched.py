"""Launchers as processes, as a user starts them.

Most are forked from a process that has imported what they need, which would
take longer than the rest of a small run. Those of `run` and `start` are begun
as a user's are.
"""

import atexit
import functools
import multiprocessing
import os
import pathlib
import resource
import runpy
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing import connection, forkserver
from typing import Any

from opp_darts_jax.launchers import main

ROOT = pathlib.Path(__file__).parents[1]
# The programs of tiny_runs.py's, so that they are compiled once.
DATA = (
  '--config.data.max_train=96',
  '--config.data.max_test=40',
  '--config.data.mean=(0.308,)',
  '--config.data.std=(0.3765,)',
)
SIZES = (
  *DATA,
  '--config.layers=1',
  '--config.channels=2',
  '--config.batch_size=16',
)
SEARCH = (
  *SIZES,
  '--config.space=s3',
  '--config.nodes=1',
  '--config.epochs=3',
  '--config.log_steps=2',
  '--config.schedule.stage_epochs=1',
)
TRAIN = (*SIZES, '--config.epochs=2')

QUICK = {
  'JAX_PLATFORMS': 'cpu',
  'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
  'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.1',
  'JAX_TRACEBACK_IN_LOCATIONS_LIMIT': '0',
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


def launch(
  launcher: str, *flags: str, cwd: pathlib.Path = ROOT
) -> subprocess.CompletedProcess[str]:
  """Runs a launcher to its end, forked; or a file of the repository."""
  run = Forked(launcher, *flags, cwd=cwd)
  said, wrong = run.communicate()
  return subprocess.CompletedProcess(
    [launcher, *flags], run.returncode, said, wrong
  )


class Forked:
  """A launcher in a forked process, with a part of what Popen has."""

  def __init__(
    self,
    launcher: str,
    *flags: str,
    cwd: pathlib.Path = ROOT,
    limits: Mapping[int, int] | None = None,
  ) -> None:
    pipes = [multiprocessing.Pipe(duplex=False) for _ in range(2)]
    self._outputs, given = zip(*pipes)
    self._process = _forks().Process(
      target=_main,
      args=((launcher, *flags), cwd, os.environ | QUICK, limits or {}, given),
    )
    self._process.start()
    for output in given:
      output.close()

  @property
  def returncode(self) -> int | None:
    """As Popen has it: None before the end, -N after signal N."""
    return self._process.exitcode

  def poll(self) -> int | None:
    """The exit code, if it has ended."""
    return self.returncode

  def send_signal(self, number: int) -> None:
    """Sends a signal to it."""
    os.kill(self._process.pid, number)

  def communicate(self) -> tuple[str, ...]:
    """Waits for its end; what it wrote to stdout and stderr."""
    found = dict.fromkeys(self._outputs, b'')
    left = list(self._outputs)
    while left:
      for output in connection.wait(left):
        part = os.read(output.fileno(), 1 << 16)
        found[output] += part
        if not part:
          left.remove(output)
    self._process.join()
    for output in self._outputs:
      output.close()
    # Names of files may be no text.
    return tuple(os.fsdecode(text) for text in found.values())


@functools.cache
def _forks() -> Any:
  """The context whose processes are forked from the prepared one."""
  context = multiprocessing.get_context('forkserver')
  context.set_forkserver_preload(['launched_imports'])
  before = dict(os.environ)
  # JAX reads its own as it is imported.
  places = os.pathsep.join([str(pathlib.Path(__file__).parent), *sys.path])
  os.environ.update(QUICK, PYTHONPATH=places)
  try:
    forkserver.ensure_running()
  finally:
    os.environ.clear()
    os.environ.update(before)
  return context


def _main(
  words: Sequence[str],
  cwd: pathlib.Path,
  environment: Mapping[str, str],
  limits: Mapping[int, int],
  outputs: Sequence[connection.Connection],
) -> None:
  """What `python -m opp_darts_jax` or a file does, in a forked process."""
  assert 'opp_darts_jax.running.searches.search' in sys.modules, 'not prepared'
  for descriptor, output in enumerate(outputs, 1):
    os.dup2(output.fileno(), descriptor)
    output.close()
  os.chdir(cwd)
  os.environ.clear()
  os.environ.update(environment)
  for kind, most in limits.items():
    resource.setrlimit(kind, (most, most))
  # The one that it has by now may be of a file, which can be sought in.
  sys.stdout = os.fdopen(1, 'w', closefd=False)
  sys.path.insert(0, str(cwd))
  script = words[0].endswith('.py')
  if script:
    sys.path.insert(0, str(pathlib.Path(words[0]).resolve().parent))
  sys.argv = [*words] if script else ['opp_darts_jax', *words]
  try:
    if script:
      runpy.run_path(words[0], run_name='__main__')
    else:
      main.main()
  finally:
    # Forked processes end without: that of a cluster would not take leave.
    threading._shutdown()
    atexit._run_exitfuncs()
