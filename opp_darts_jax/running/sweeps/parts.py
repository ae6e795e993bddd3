"""The parts of a sweep's runs, some at a time.

Every part is a process, as from the command line: it owns its devices, and one
that fails stops no other. It is started here, or by a cluster (cluster.py).
"""

import collections
import contextlib
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from opp_darts_jax.errors import (
  NotFinished,
  UserError,
  WorkdirInUseError,
  first_line,
)
from opp_darts_jax.recorded import RESULTS
from opp_darts_jax.running.runs.interruption import SIGNALS

_PAUSE = 0.1  # Seconds between two looks at the processes.
_AGAIN = 60.0  # Until a part is tried again that another process runs.
# What a part that was asked to stop ends with: it has saved, had not begun yet,
# or was asked twice.
_STOPPED = (NotFinished.exit_code, -signal.SIGTERM, 128 + signal.SIGTERM)


class Part(NamedTuple):
  """One process: a search, or training.

  Attributes:
    label: what the user sees.
    folder: its workdir; its output goes to a file beside it.
    command: its program and arguments.
  """

  label: str
  folder: pathlib.Path
  command: tuple[str, ...]

  @property
  def log(self) -> pathlib.Path:
    """The file of its output."""
    return self.folder.with_suffix('.log')

  @property
  def finished(self) -> bool:
    """Whether its folder has all that it makes."""
    return (self.folder / RESULTS).is_file()


class Process(Protocol):
  """A part that has been started."""

  def poll(self) -> int | None:
    """Its exit code, once it has ended."""

  def stop(self) -> None:
    """Asks it to save and to end."""


# Starts a part.
Launch = Callable[[Part], Process]


def run_all(
  runs: Sequence[Sequence[Part]], jobs: int, launch: Launch | None = None
) -> tuple[bool, list[str]]:
  """Runs all parts that are not finished.

  One that another process runs, as one whose sweep was killed, is waited for:
  it is tried again from time to time.

  Args:
    runs: the parts of each, which run in order.
    jobs: how many parts run at a time.
    launch: None starts them as processes here.

  Returns:
    Whether a part was stopped, and what is to be said of each that failed,
    in the order of the runs, whichever failed first.
  """
  queue = collections.deque(_left(runs))
  elsewhere: list[tuple[float, list[Part]]] = []  # And when to try them again.
  running: dict[Process, list[Part]] = {}
  launch = launch or (lambda part: _Local(part, jobs))
  stopped = False
  failed: dict[Part, str] = {}
  with _signals() as received, _left_to_none(running):
    while running or ((queue or elsewhere) and not stopped):
      while received:
        received.pop()
        stopped = True
        for process in running:
          process.stop()
      while elsewhere and elsewhere[0][0] <= time.monotonic():
        queue.extend(_left([elsewhere.pop(0)[1]]))
      while queue and len(running) < jobs and not stopped:
        parts = queue.popleft()
        try:
          running[_begin(parts[0], launch)] = parts
        except UserError as error:  # The queue of a cluster is full, say.
          print(f'{parts[0].label}: {error}', flush=True)
          failed[parts[0]] = first_line(error)
      time.sleep(_PAUSE)
      for process in list(running):
        if (code := process.poll()) is None:
          continue
        part, *later = running.pop(process)
        said = 'finished'
        if code == 0:
          queue.extendleft([later] if later else [])
        elif code == WorkdirInUseError.exit_code:
          elsewhere.append((time.monotonic() + _AGAIN, [part, *later]))
          said = f'runs in another process; tried again in {_AGAIN:.0f} s'
        elif code in _STOPPED:
          stopped, said = True, 'stopped'
        else:
          said = f'failed with code {code}: {_last_line(part.log)}'
          failed[part] = f'{part.label} with code {code}, see {part.log}'
        print(f'{part.label}: {said}', flush=True)
  ordered = [part for parts in runs for part in parts]
  return stopped, [failed[part] for part in ordered if part in failed]


def _left(runs: Iterable[Sequence[Part]]) -> list[list[Part]]:
  """Of runs that are not finished, the parts that are not."""
  left = ([part for part in parts if not part.finished] for parts in runs)
  return list(filter(None, left))


@contextlib.contextmanager
def _left_to_none(running: Collection[Process]) -> Iterator[None]:
  """Asks what still runs to save and to end, if an error ends the queue."""
  try:
    yield
  finally:
    for process in running:
      process.stop()


def _begin(part: Part, launch: Launch) -> Process:
  print(f'{part.label}: begins, see {part.log}', flush=True)
  part.log.parent.mkdir(parents=True, exist_ok=True)
  return launch(part)


class _Local:
  """A part as a process of this machine; one of so many at a time."""

  def __init__(self, part: Part, jobs: int) -> None:
    environment = dict(os.environ)
    if jobs > 1:
      # On a GPU every process would take most of the memory.
      share = f'{0.9 / jobs:.3f}'
      environment.setdefault('XLA_PYTHON_CLIENT_MEM_FRACTION', share)
      # On CPU every process would have a thread for each core, and they would
      # wait for each other: XLA reads from NPROC how many it shall have.
      environment.setdefault('NPROC', str(max(1, _cores() // jobs)))
    with open(part.log, 'ab') as log:
      self._process = subprocess.Popen(
        part.command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environment,
        # A terminal's Ctrl-C goes to a whole session. A part, which a second
        # signal would end at once, shall get ours alone.
        start_new_session=True,
      )

  def poll(self) -> int | None:
    """Its exit code, once it has ended."""
    return self._process.poll()

  def stop(self) -> None:
    """Asks it to save and to end."""
    # This one always: it ends what is not yet ready to be asked.
    self._process.send_signal(signal.SIGTERM)


def _cores() -> int:
  """How many cores this process may use."""
  if hasattr(os, 'sched_getaffinity'):  # Linux
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
  """The signals that ask to stop, in a list that grows as they come."""
  received: list[int] = []

  def note(number: int, frame: Any) -> None:
    received.append(number)

  # A terminal that closes tells parts nothing: each has a session of its own.
  hangs_up = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN  # As by nohup.
  numbers = (*SIGNALS, *([signal.SIGHUP] if hangs_up else []))
  before = {number: signal.signal(number, note) for number in numbers}
  try:
    yield received
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


def _last_line(log: pathlib.Path) -> str:
  lines = log.read_text(errors='replace').split('\n')
  return next(filter(None, map(str.strip, reversed(lines))), 'no output')
