"""Sweeps: searches, and training of what they find, by config and seed.

Every part is a process, as from the command line: it owns its devices, and one
that fails stops no other.
"""

import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from opp_darts_jax.errors import NotFinished, UserError
from opp_darts_jax.files import write_json
from opp_darts_jax.running import sweep_table
from opp_darts_jax.running.interruption import SIGNALS
from opp_darts_jax.running.results import RESULTS

_PAUSE = 0.1  # Seconds between two looks at the processes.
# What a part that was asked to stop ends with: it has saved, had not begun yet,
# or was asked twice.
_STOPPED = (NotFinished.exit_code, -signal.SIGTERM, 128 + signal.SIGTERM)


class SweepError(UserError):
  """Parts of a sweep that failed."""

  exit_code = 1


@dataclasses.dataclass(frozen=True)
class Sweep:
  """What to run.

  Attributes:
    configs: what `--config` takes, 'NAME', 'FILE.py' or a variant of either,
      'NAME:VARIANT'. What a search finds is trained by 'NAME:train' or
      'NAME:VARIANT_train'.
    seeds: every config is run with each.
    workdir: folder of the sweep; the runs are in CONFIG/seedSEED in it.
    train: whether to train and test what is found.
    search_flags: further flags of the searches, such as '--config.epochs=9'.
    train_flags: further flags of training.
  """

  configs: tuple[str, ...]
  seeds: tuple[int, ...]
  workdir: pathlib.Path
  train: bool = True
  search_flags: tuple[str, ...] = ()
  train_flags: tuple[str, ...] = ()

  def __post_init__(self) -> None:
    names = [_name(config) for config in self.configs]
    for what, given in (('config', names), ('seed', self.seeds)):
      if not given or len(set(given)) < len(given):
        raise UserError(
          f'Expected at least one {what}, and none twice; got '
          f'{", ".join(map(str, given)) or "none"}.'
        )


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


class Run(NamedTuple):
  """A config with a seed: a search, and training unless left out."""

  config: str
  seed: int
  parts: tuple[Part, ...]

  @property
  def folders(self) -> tuple[pathlib.Path, pathlib.Path | None]:
    """Workdirs of the search and of training, if that is part of it."""
    search, *train = (part.folder for part in self.parts)
    return search, train[0] if train else None


def run_sweep(sweep: Sweep, jobs: int = 1) -> dict[str, Any]:
  """Runs what is not finished of a sweep, and sums it up.

  A SIGTERM or SIGINT makes the parts save and stop.

  Args:
    sweep: what to run.
    jobs: how many parts run at a time.

  Returns:
    The contents of `sweep.json`: the finished runs, and statistics by config.

  Raises:
    NotFinished: if a part was stopped; the same sweep goes on.
    SweepError: if parts failed.
    UserError: if the workdir holds a sweep with other flags.
  """
  runs = plan(sweep)
  flags = {
    name: getattr(sweep, name) for name in ('search_flags', 'train_flags')
  }
  path = _open(sweep.workdir, flags)
  print(f'Sweep in {sweep.workdir}: {len(runs)} runs, {jobs} at a time')
  stopped, failed = _run_all(runs, jobs)
  done = [
    sweep_table.result(run.config, run.seed, *run.folders)
    for run in runs
    if all(part.finished for part in run.parts)
  ]
  found = {**flags, 'runs': done, 'configs': sweep_table.by_config(done)}
  write_json(path, found)
  print(sweep_table.table(found['configs']), flush=True)
  if stopped:
    raise NotFinished(
      f'{len(done)} of {len(runs)} runs are finished; the same command goes on '
      'with the others.'
    )
  if failed:
    raise SweepError(
      f'{len(failed)} of {len(runs)} runs failed: {"; ".join(failed)}.'
    )
  return found


def plan(sweep: Sweep) -> list[Run]:
  """All runs, by seed and then config, so that configs compare early."""
  return [
    _plan_run(sweep, config, seed)
    for seed in sweep.seeds
    for config in sweep.configs
  ]


def _plan_run(sweep: Sweep, config: str, seed: int) -> Run:
  name = _name(config)
  folder = sweep.workdir / name / f'seed{seed}'
  base, _, variant = config.partition(':')

  def part(kind: str, config: str, *flags: str) -> Part:
    command = (
      sys.executable,
      '-m',
      'opp_darts_jax',
      kind,
      f'--config={config}',
      *flags,
      f'--config.seed={seed}',
      f'--workdir={folder / kind}',
    )
    return Part(f'{name} seed {seed} {kind}', folder / kind, command)

  parts = [part('search', config, *sweep.search_flags)]
  if sweep.train:
    training = f'{base}:{variant}_train' if variant else f'{base}:train'
    found = f'--config.genotype={folder / "search" / "genotype.json"}'
    parts.append(part('train', training, *sweep.train_flags, found))
  return Run(name, seed, tuple(parts))


def _name(config: str) -> str:
  base, _, variant = config.partition(':')
  return '_'.join(filter(None, (pathlib.Path(base).stem, variant)))


def _open(workdir: pathlib.Path, flags: dict[str, Any]) -> pathlib.Path:
  """The path of `sweep.json`, once its sweep is known to be this one."""
  path = workdir / 'sweep.json'
  workdir.mkdir(parents=True, exist_ok=True)
  if not path.exists():
    write_json(path, flags)
  known = json.loads(path.read_text())
  for name, values in flags.items():
    if known.get(name) != list(values):
      raise UserError(
        f'The workdir {workdir} holds a sweep with other {name}, '
        f'{known.get(name)}; expected {list(values)}: give the same, or choose '
        'another --workdir.'
      )
  return path


def _run_all(runs: list[Run], jobs: int) -> tuple[bool, list[str]]:
  """Runs all parts that are not finished, those of a run in order.

  Returns:
    Whether a part was stopped, and what is to be said of each that failed.
  """
  left = [[p for p in run.parts if not p.finished] for run in runs]
  queue = collections.deque(filter(None, left))
  running: dict[subprocess.Popen[bytes], list[Part]] = {}
  stopped, failed = False, []
  with _signals() as received:
    while running or (queue and not stopped):
      while received:
        received.pop()
        stopped = True
        for process in running:
          # This one always: it ends what is not yet ready to be asked.
          process.send_signal(signal.SIGTERM)
      while queue and len(running) < jobs and not stopped:
        parts = queue.popleft()
        running[_start(parts[0], jobs)] = parts
      time.sleep(_PAUSE)
      for process in [p for p in running if p.poll() is not None]:
        part, *later = running.pop(process)
        code = process.returncode
        said = 'finished'
        if code == 0:
          queue.extendleft([later] if later else [])
        elif code in _STOPPED:
          stopped, said = True, 'stopped'
        else:
          said = f'failed with code {code}: {_last_line(part.log)}'
          failed.append(f'{part.label} with code {code}, see {part.log}')
        print(f'{part.label}: {said}', flush=True)
  return stopped, failed


def _start(part: Part, jobs: int) -> subprocess.Popen[bytes]:
  print(f'{part.label}: begins, see {part.log}', flush=True)
  part.log.parent.mkdir(parents=True, exist_ok=True)
  environment = dict(os.environ)
  if jobs > 1:  # On a GPU every process would take most of the memory.
    share = f'{0.9 / jobs:.3f}'
    environment.setdefault('XLA_PYTHON_CLIENT_MEM_FRACTION', share)
  with open(part.log, 'ab') as log:
    return subprocess.Popen(
      part.command,
      stdin=subprocess.DEVNULL,
      stdout=log,
      stderr=log,
      env=environment,
      # A terminal's Ctrl-C goes to a whole session. A part, which a second
      # signal would end at once, shall get ours alone.
      start_new_session=True,
    )


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
  """The signals that ask to stop, in a list that grows as they come."""
  received: list[int] = []

  def note(number: int, frame: Any) -> None:
    received.append(number)

  before = {number: signal.signal(number, note) for number in SIGNALS}
  try:
    yield received
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


def _last_line(log: pathlib.Path) -> str:
  lines = log.read_text(errors='replace').split('\n')
  return next(filter(None, map(str.strip, reversed(lines))), 'no output')
