"""The folder of a run: made, locked, and refused if another run is in it."""

import contextlib
import json
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import filelock
import jax

from opp_darts_jax import files
from opp_darts_jax.config import first_house
from opp_darts_jax.config.fields import as_json
from opp_darts_jax.errors import (
  OtherRunError,
  WorkdirError,
  WorkdirInUseError,
  first_line,
)


@contextlib.contextmanager
def open_workdir(
  workdir: str | pathlib.Path, config: Any
) -> Iterator[pathlib.Path]:
  """Makes the folder, with a `config.json`, and holds it for this process.

  Of several processes the first one alone writes into it; the others get a
  folder that is thrown away.

  Args:
    workdir: the folder; parents are made too.
    config: the run's dataclass.

  Yields:
    The folder's path.

  Raises:
    WorkdirError: if it is no folder, or cannot be written.
    WorkdirInUseError: if another process holds it.
    OtherRunError: if it holds the run of another config.
  """
  if jax.process_index() > 0:
    with tempfile.TemporaryDirectory() as folder:
      yield pathlib.Path(folder)
    return
  workdir = pathlib.Path(workdir)
  lock = filelock.FileLock(workdir / '.lock')
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    lock.acquire(timeout=0)
  except filelock.Timeout as error:
    raise WorkdirInUseError(
      f'The workdir {workdir} is in use by another process; wait for it to '
      'end, or choose another --workdir.'
    ) from error
  except OSError as error:
    raise _unusable(workdir, error) from error
  try:
    _check_config(workdir, config)
    yield workdir
  finally:
    lock.release()


def _check_config(workdir: pathlib.Path, config: Any) -> None:
  """Writes `config.json`, or compares the one that is there."""
  path = workdir / 'config.json'
  fields = as_json(config)
  try:
    if not path.exists():
      files.write_json(path, fields)
      return
    found = json.loads(path.read_text())
    if not isinstance(found, dict):
      raise ValueError(f'{path.name} holds no fields')
  except (OSError, ValueError) as error:  # Not JSON, or not even text.
    raise _unusable(workdir, error) from error
  defaults = as_json(type(config)())
  found = first_house.as_of_now(found, defaults)
  changed = sorted(_flatten(found) ^ _flatten(fields))
  if changed:
    names = ', '.join(sorted({name for name, _ in changed}))
    raise OtherRunError(
      f'The workdir {workdir} holds a run of another config, which differs in '
      f'{names}; choose another --workdir or give the same config.'
    )


def _unusable(workdir: pathlib.Path, error: Exception) -> WorkdirError:
  return WorkdirError(
    f'The workdir {workdir} must be a folder that can be written, new or of '
    f'the same run; got: {first_line(error)}.'
  )


def _flatten(tree: Any, prefix: str = '') -> set[tuple[str, str]]:
  if not isinstance(tree, dict):
    return {(prefix, json.dumps(tree))}
  return {
    pair
    for name, value in tree.items()
    for pair in _flatten(value, f'{prefix}.{name}' if prefix else name)
  }
