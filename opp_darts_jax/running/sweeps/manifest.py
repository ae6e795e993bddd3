"""The file `sweep.json`: which sweep a workdir holds."""

import contextlib
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import filelock

from opp_darts_jax.errors import UserError, WorkdirError
from opp_darts_jax.files import read_json, write_json
from opp_darts_jax.recorded import CONFIG
from opp_darts_jax.running.workdirs.workdir import (
  changed_fields,
  make_workdir,
  unusable,
)


@contextlib.contextmanager
def locked(workdir: pathlib.Path) -> Iterator[None]:
  """While `sweep.json` is read and written: several commands may do so.

  Raises:
    WorkdirError: if the workdir is no folder, or cannot be made or written.
  """
  make_workdir(workdir)
  lock = filelock.FileLock(workdir / '.sweep.lock')
  try:
    lock.acquire()
  except OSError as error:
    raise unusable(workdir, error) from error
  try:
    yield
  finally:
    lock.release()


def folder_name(variant: str) -> str:
  """The name of a variant, as that of a folder."""
  return re.sub(r'[^\w.+=-]+', '_', variant).strip('_.')


def open_sweep(
  workdir: pathlib.Path,
  flags: dict[str, list[str]],
  variants: dict[str, list[str]],
  fields: dict[str, Any],
) -> pathlib.Path:
  """The path of `sweep.json`, once its sweep is known to be this one; `locked`.

  It may get further variants and configs, or be given fewer; `variants` and
  `fields` then have all. A sweep of which no run has begun, as its flags were
  wrong, binds nobody.

  Raises:
    UserError: if the workdir holds another sweep, or one that cannot be read.
    WorkdirError: if what it holds is damaged.
  """
  path = workdir / 'sweep.json'
  known: dict[str, Any] = dict(flags)
  if path.exists() and any(workdir.rglob(CONFIG)):
    known = _read(path)
  before, fields_before = known.get('variants', {}), known.get('fields', {})
  named = {
    f'flags of {name}': (before[name], given)
    for name, given in variants.items()
    if name in before
  }
  for name, given in flags.items():
    named[name] = known.get(name), given
  for name, (other, given) in named.items():
    if other != given:
      raise UserError(
        f'The workdir {workdir} holds a sweep with other {name}, {other}; '
        f'expected {given}: give the same, or choose another --workdir.'
      )
  folders = {folder_name(name): name for name in before}
  for name in variants:
    other = folders.get(folder_name(name), name)
    if other != name:
      raise UserError(
        f'The workdir {workdir} holds the runs of {other} in the folder '
        f'{folder_name(name)}, which those of {name} would share: rename one '
        'of them, or choose another --workdir.'
      )
  for name, own in fields.items():
    differing = changed_fields(fields_before.get(name, {}), own)
    if differing:
      raise UserError(
        f'The workdir {workdir} holds a sweep with another config {name}, '
        f'which differs in {", ".join(differing)}: give the same, or choose '
        'another --workdir.'
      )
  variants |= {**before, **variants}
  # A sweep that trains nothing now still knows how its networks were trained.
  for name, own in fields_before.items():
    fields[name] = {**own, **fields.get(name, {})}
  now = {**known, **written(variants, fields)}
  if now != read_json(path):
    write_json(path, now)
  return path


def written(
  variants: Mapping[str, Any], fields: Mapping[str, Any]
) -> dict[str, Any]:
  """What `sweep.json` says of them, where there are some."""
  both = {'variants': variants, 'fields': fields}
  return {name: dict(given) for name, given in both.items() if given}


def _read(path: pathlib.Path) -> dict[str, Any]:
  """What a sweep has written down."""
  found = read_json(path)
  if not isinstance(found, dict):
    raise WorkdirError(
      f'Expected the object of a sweep in {path}, which is damaged: remove it, '
      'and the same command goes on with what is not finished.'
    )
  return found
