"""What a run has come to, from the files in its folder."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from opp_darts_jax.errors import UserError
from opp_darts_jax.recorded import RESULTS, is_number


def finished(workdir: str | pathlib.Path, beside: str) -> dict[str, Any]:
  """The results of a run that has finished; empty for any other.

  Args:
    workdir: of the run.
    beside: the file that it leaves beside them.
  """
  workdir = pathlib.Path(workdir)
  path = workdir / RESULTS
  if not path.is_file() or not (workdir / beside).is_file():
    return {}
  return read(workdir, path.name)


def read(
  workdir: pathlib.Path, name: str, fields: Sequence[str] = ()
) -> dict[str, Any]:
  """The object in a file that every run has which has ended an epoch.

  Args:
    workdir: of the run.
    name: of the file.
    fields: what the object must have.

  Raises:
    UserError: if there is no such file, or it is damaged.
  """
  path = workdir / name
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError) as error:
    raise UserError(
      f'Expected the folder of a run that has ended an epoch, with its {name}; '
      f'in {workdir} it is missing or damaged.'
    ) from error
  if not isinstance(found, dict):
    raise UserError(f'Expected an object in {path}, got {found!r}.')
  missing = [field for field in fields if field not in found]
  if missing:
    raise UserError(f'Expected {missing[0]} in {path}; it is not there.')
  return found


def numbers(
  found: Mapping[str, Any], names: Sequence[str], workdir: pathlib.Path
) -> dict[str, float | None]:
  """Numbers among the results of a run; None stands for what there is not.

  Args:
    found: the results.
    names: of the numbers.
    workdir: of the run.

  Raises:
    UserError: if one is something else.
  """
  for name in names:
    value = found.get(name)
    if value is not None and not is_number(value):
      raise UserError(
        f'Expected a number as {name} in {workdir / RESULTS}; got {value!r}.'
      )
  return {name: found.get(name) for name in names}
