"""What the files of a run say, read with care: others may have written them."""

import contextlib
import json
import pathlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from opp_darts_jax import errors, files, recorded
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.reporting import derived
from opp_darts_jax.running.workdirs import sessions

Record = Mapping[str, Any]

# What others' files raise where they do not fit together.
MISFIT = (
  ArithmeticError,
  AttributeError,
  LookupError,
  TypeError,
  ValueError,
)


class RunFiles(NamedTuple):
  """What the files of a run say; what is not there is empty.

  Attributes:
    workdir: its folder.
    records: the lines of its metrics.
    alphas: the lines of its alphas.
    times: the lines of its times.
    genotype: that it ended with, else that of the last epoch.
    config: of the run.
    inputs: what it is made of beside its config.
    results: that it ended with.
    space: its name, its graph, and how its operations are drawn.
    sessions: the processes that it ran in, see `running.workdirs.sessions`.
    mistakes: images of the worst mistakes of a test, uint8 (n, H, W, C).
  """

  workdir: pathlib.Path
  records: list[dict[str, Any]]
  alphas: list[dict[str, Any]]
  times: list[dict[str, Any]]
  genotype: Genotype | None
  config: dict[str, Any]
  inputs: dict[str, Any]
  results: dict[str, Any]
  space: dict[str, Any]
  sessions: list[dict[str, Any]]
  mistakes: np.ndarray | None

  @property
  def is_search(self) -> bool:
    """Whether it is a search, not a training."""
    # A method that draws its cells leaves lines of neither.
    return bool(self.space) or is_search(self.records, self.alphas)

  @property
  def seed(self) -> int:
    """That it has, by its config."""
    return int(self.config.get('seed') or 0)

  @property
  def epochs(self) -> list[dict[str, Any]]:
    """The lines of the epochs that have ended."""
    return [r for r in self.records if r['kind'] == 'epoch']

  @property
  def found(self) -> dict[str, Any] | None:
    """The line of what a search gave, if no epoch ended with it."""
    return derived.found(self.epochs, self.genotype, self.results)

  @property
  def stages(self) -> list[dict[str, Any]]:
    """The lines of the stages."""
    return [r for r in self.records if r['kind'] == 'stage']

  @property
  def state(self) -> str:
    """'finished', 'running' or 'interrupted'; '' where nothing tells."""
    if self.results:
      return 'finished'
    if not self.sessions:
      return ''
    return 'running' if self._is_alive else 'interrupted'

  @property
  def seconds(self) -> float:
    """Of the wall, in all processes that it ran in; 0 if nothing tells."""
    ends = [(s['started'], s['ended']) for s in self.sessions if 'ended' in s]
    if self._is_alive:
      ends.append((self.sessions[-1]['started'], time.time()))
    total = sum(max(0.0, ended - started) for started, ended in ends)
    # A process that was killed did not say when.
    return max(total, sum(line['seconds'] for line in self.times))

  @property
  def _is_alive(self) -> bool:
    """Whether a process still runs it: the last one, until it has finished."""
    return (
      not self.results
      and bool(self.sessions)
      and sessions.is_alive(self.sessions[-1])
    )


def is_search(records: Sequence[Record], alphas: Sequence[Record]) -> bool:
  """Whether these are the lines of a search, not of a training run."""
  return bool(alphas) or any(
    r['kind'] == 'stage' or 'val_loss' in r or 'genotype' in r for r in records
  )


def read_run(workdir: str | pathlib.Path) -> RunFiles:
  """Reads the folder of a run, whether it has ended or not.

  Raises:
    UserError: if it is not the folder of a run, or its files are no such files.
  """
  workdir = pathlib.Path(workdir)
  path = workdir / recorded.METRICS
  results = _read_json(workdir / recorded.RESULTS)
  # A training with several seeds has its lines in a folder a seed.
  if not path.is_file() and 'seeds' not in results:
    but = 'has none' if workdir.is_dir() else 'is no folder'
    raise errors.UserError(
      f'Expected the folder of a run, with its metrics.jsonl; {workdir} '
      f'{but if workdir.exists() else "does not exist"}.'
    )
  lines = files.read_lines(path)
  records = _once(line for line in lines if _is_record(line))
  if lines and not records:
    raise errors.UserError(
      f'Expected the numbers of a run in {path}; none of its {len(lines)} '
      'lines has a kind, an epoch and a step.'
    )
  fields = _read_json(workdir / recorded.GENOTYPE)
  # Before the end of a search, that of the last epoch.
  genotypes = [r['genotype'] for r in records if r.get('genotype')]
  fields = fields or (genotypes[-1] if genotypes else {})
  return RunFiles(
    workdir,
    records,
    alphas=_once(files.read_lines(workdir / recorded.ALPHAS)),
    times=files.read_lines(workdir / recorded.TIMES),
    genotype=Genotype.from_dict(fields) if fields else None,
    config=_read_json(workdir / recorded.CONFIG),
    inputs=_read_json(workdir / recorded.INPUTS),
    results=results,
    space=_read_json(workdir / recorded.SPACE),
    sessions=sessions.read(workdir),
    mistakes=_read_images(workdir / 'mistakes.npz'),
  )


@contextlib.contextmanager
def fitting(*workdirs: pathlib.Path) -> Iterator[None]:
  """Within it runs are drawn: `UserError` if their files do not fit."""
  try:
    yield
  except errors.UserError:
    raise
  except MISFIT as error:
    # Files that others have written, or parts of two runs in one folder.
    each = 'each of ' if len(workdirs) > 1 else ''
    raise errors.UserError(
      f'Expected the files of one run in {each}'
      f'{", ".join(map(str, workdirs))}, but they do not fit together: '
      f'{type(error).__name__}: {errors.first_line(error)}.'
    ) from error


def _is_record(line: Record) -> bool:
  """Whether it is a line of a run, not of something else."""
  numbers = (line.get('epoch'), line.get('step'))
  return isinstance(line.get('kind'), str) and all(
    isinstance(number, int) for number in numbers
  )


def _once(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
  """In the order of steps; of lines that a resumed run repeats, the last."""
  names = ('kind', 'stage', 'epoch', 'step')
  lines = {tuple(r.get(name) for name in names): r for r in records}
  return sorted(lines.values(), key=lambda r: r.get('step') or 0)


def _read_json(path: pathlib.Path) -> dict[str, Any]:
  """The object in a file; empty if there is no file."""
  if not path.is_file():
    return {}
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
  except ValueError as error:
    raise errors.UserError(f'{path} is not JSON: {error}.') from error
  if not isinstance(found, dict):
    raise errors.UserError(f'Expected an object in {path}, got {found!r}.')
  return found


def _read_images(path: pathlib.Path) -> np.ndarray | None:
  """The images in a file; None if there is none, or it is no such file."""
  try:
    images = files.read_npz(path)['images']
  except (OSError, ValueError, KeyError):
    return None
  return images if images.dtype == np.uint8 and images.ndim == 4 else None
