"""The folder of a run: made, and refused if it belongs to another run."""

import dataclasses
import json
import pathlib
from typing import Any

from opp_darts_jax import metrics
from opp_darts_jax.errors import UserError


def open_workdir(workdir: str | pathlib.Path, config: Any) -> pathlib.Path:
  """Makes the folder, and writes `config.json` if it has none.

  Args:
    workdir: the folder; parents are made too.
    config: the run's dataclass.

  Returns:
    The folder's path.

  Raises:
    UserError: if it is no folder, cannot be written, or holds the run of
      another config.
  """
  workdir = pathlib.Path(workdir)
  path = workdir / 'config.json'
  fields = json.loads(json.dumps(dataclasses.asdict(config)))
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
      metrics.write_json(path, fields)
      return workdir
    found = json.loads(path.read_text())
  except (OSError, ValueError) as error:  # Not JSON, or not even text.
    raise UserError(
      f'The workdir {workdir} must be a folder that can be written, new or of '
      f'the same run; got: {error}.'
    ) from error
  changed = sorted(_flatten(found) ^ _flatten(fields))
  if changed:
    names = ', '.join(sorted({name for name, _ in changed}))
    raise UserError(
      f'The workdir {workdir} holds a run of another config, which differs in '
      f'{names}; choose another --workdir or give the same config.'
    )
  return workdir


def _flatten(tree: Any, prefix: str = '') -> set[tuple[str, str]]:
  if not isinstance(tree, dict):
    return {(prefix, json.dumps(tree))}
  return {
    pair
    for name, value in tree.items()
    for pair in _flatten(value, f'{prefix}.{name}' if prefix else name)
  }
