"""The folder of a run: made, locked, and refused if another run is in it."""

import contextlib
import json
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import filelock
import jax

from opp_darts_jax import files
from opp_darts_jax.config import SearchConfig, TrainConfig, first_house
from opp_darts_jax.config.fields import as_json, leaves
from opp_darts_jax.errors import (
  OtherRunError,
  WorkdirError,
  WorkdirInUseError,
  first_line,
)
from opp_darts_jax.recorded import CONFIG, GENOTYPE, INPUTS

_KINDS = {SearchConfig: 'search', TrainConfig: 'training'}
_SHOWN = 60  # characters of a value in a message

# Fields that say where an input lies -> the part of the inputs that says what
# it is, by which runs are told apart where it is known.
_PLACES = {
  'data.source': 'data',
  'data.data_dir': 'data',
  'genotype': 'genotype',
  'cost.table': 'cost',
}


@contextlib.contextmanager
def open_workdir(
  workdir: str | pathlib.Path,
  config: Any,
  inputs: Mapping[str, Any] | None = None,
) -> Iterator[pathlib.Path]:
  """Makes the folder, with what the run is, and holds it for this process.

  Of several processes the first one alone writes into it; the others get a
  folder that is thrown away.

  Args:
    workdir: the folder; parents are made too.
    config: the run's dataclass, for `config.json`.
    inputs: what else the run is made of, for `inputs.json` (see inputs.py).

  Yields:
    The folder's path.

  Raises:
    WorkdirError: if it is no folder, or cannot be written.
    WorkdirInUseError: if another process holds it.
    OtherRunError: if it holds the run of another config or of other inputs.
  """
  if jax.process_index() > 0:
    with tempfile.TemporaryDirectory() as folder:
      yield pathlib.Path(folder)
    return
  workdir = pathlib.Path(workdir)
  lock = filelock.FileLock(workdir / '.lock')
  make_workdir(workdir)
  try:
    lock.acquire(timeout=0)
  except filelock.Timeout as error:
    raise WorkdirInUseError(
      f'The workdir {workdir} is in use by another process; wait for it to '
      'end, or choose another --workdir.'
    ) from error
  except OSError as error:
    raise unusable(workdir, error) from error
  try:
    check_workdir(workdir, config, inputs)
    try:
      for path, fields in (
        (workdir / CONFIG, as_json(config)),
        (workdir / INPUTS, inputs),
      ):
        if fields is not None and not path.exists():
          files.write_json(path, fields)
      if inputs is not None:  # Or others may be in these places.
        _write_places(workdir / CONFIG, as_json(config))
    except OSError as error:
      raise unusable(workdir, error) from error
    yield workdir
  finally:
    lock.release()


def make_workdir(workdir: pathlib.Path) -> None:
  """Makes a folder, and its parents; `WorkdirError` if that cannot be."""
  try:
    workdir.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise unusable(workdir, error) from error


def check_workdir(
  workdir: str | pathlib.Path,
  config: Any,
  inputs: Mapping[str, Any] | None = None,
) -> bool:
  """Compares what a folder holds with a run, and writes nothing.

  Args:
    workdir: the folder, which may be missing.
    config: of the run.
    inputs: of the run; None compares the configs alone.

  Returns:
    Whether it holds this run already.

  Raises:
    UserError: if the run would begin, and its config says what it cannot do.
    WorkdirError: if what it holds cannot be read.
    OtherRunError: if it is the run of another config or of other inputs.
  """
  workdir = pathlib.Path(workdir)
  found = _read(workdir, CONFIG)
  known = _read(workdir, INPUTS)
  if known is None and hasattr(config, 'genotype'):
    # Earlier releases wrote down the genotype of a training alone.
    genotype = _read(workdir, GENOTYPE)
    known = genotype and {'genotype': genotype}
  known = known or {}
  if found is None:
    config.check_new()
  else:
    _compare_configs(workdir, found, config, known)
  if inputs is not None:
    _compare_inputs(workdir, known, inputs)
  return found is not None


def _write_places(path: pathlib.Path, fields: dict[str, Any]) -> None:
  """Lets a config say where its inputs lie, if they lie elsewhere now."""
  before, now = leaves(json.loads(path.read_text())), leaves(fields)
  if any(place in before and _differ(place, before, now) for place in _PLACES):
    files.write_json(path, fields)


def _compare_configs(
  workdir: pathlib.Path,
  found: dict[str, Any],
  config: Any,
  known: Mapping[str, Any],
) -> None:
  """Refuses other fields, but for the places of what is known by content."""
  fields = as_json(config)
  own, other = (_KINDS[first_house.kind_of(each)] for each in (fields, found))
  if own != other:
    raise OtherRunError(
      f'The workdir {workdir} holds a {other}, not a {own}; choose another '
      '--workdir.'
    )
  found = first_house.of_now(found, type(config))
  before, now = leaves(found), leaves(fields)
  # Several seeds have a run each, which compares.
  places = {
    place
    for place, part in _PLACES.items()
    if part in known or fields.get('seeds')
  }
  differing = [
    name
    for name in sorted((before | now).keys() - places)
    if _differ(name, before, now)
  ]
  if differing:
    raise OtherRunError(
      f'The workdir {workdir} holds a run of another config, which differs in '
      f'{", ".join(differing)}; choose another --workdir or give the same '
      'config.'
    )


def changed_fields(
  found: Mapping[str, Any], given: Mapping[str, Any]
) -> list[str]:
  """The names of fields that both have, with other values."""
  before, now = leaves(found), leaves(given)
  both = [name for name in before if name in now]
  return [name for name in both if _differ(name, before, now)]


def _compare_inputs(
  workdir: pathlib.Path, found: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
  """Of what both releases, that which wrote and this one, write down."""
  before, now = leaves(found), leaves(given)
  differing = changed_fields(found, given)
  if differing:
    first, *more = differing
    also = f' (also {", ".join(more)})' if more else ''
    raise OtherRunError(
      f'The workdir {workdir} holds a run of other inputs: its {first} was '
      f'{_shown(before[first])} and is {_shown(now[first])} now{also}; give '
      'the same, or choose another --workdir.'
    )


def _read(workdir: pathlib.Path, name: str) -> dict[str, Any] | None:
  """The object in a file of the folder; None if there is none."""
  path = workdir / name
  try:
    if not path.exists():
      return None
    found = json.loads(path.read_text(encoding='utf-8'))
    if not isinstance(found, dict):
      raise ValueError(f'{name} holds no fields')
  except (OSError, ValueError) as error:  # Not JSON, or not even text.
    raise unusable(workdir, error) from error
  return found


def unusable(workdir: pathlib.Path, error: Exception) -> WorkdirError:
  """What to say of a folder that cannot be a workdir."""
  return WorkdirError(
    f'The workdir {workdir} must be a folder that can be written, new or of '
    f'the same run; got: {first_line(error)}.'
  )


def _differ(
  name: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> bool:
  """Whether a leaf is another: 1 and True are, and what is not there.

  1 and 1.0 are not: earlier releases kept what was given in Python.
  """
  pair = [
    json.dumps(json.loads(json.dumps(each.get(name, {})), parse_int=_as_float))
    for each in (before, now)
  ]
  return pair[0] != pair[1]


def _as_float(text: str) -> float:
  """A whole number as a float, where it is exactly one."""
  number = int(text)
  return float(number) if abs(number) < 2**53 else number


def _shown(value: Any) -> str:
  text = json.dumps(value, ensure_ascii=False)
  return text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...'
