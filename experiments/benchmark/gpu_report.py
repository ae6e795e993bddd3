"""What is measured on a GPU, in a file that is whole at any time."""

import contextlib
import json
import pathlib
import time
from collections.abc import Iterator
from typing import Any

from opp_darts_jax import files


class Report:
  """What a part has found, in the file as soon as it is known."""

  def __init__(self, out: pathlib.Path, part: str, seconds: float) -> None:
    self._out, self._part = out, part
    self._ends = time.monotonic() + seconds

  @property
  def left(self) -> float:
    """Seconds that the part still has."""
    return self._ends - time.monotonic()

  def add(self, **row: Any) -> None:
    """Adds a row."""
    update(self._out, self._part, row=row)
    print(json.dumps({'part': self._part, **row}), flush=True)

  @contextlib.contextmanager
  def guard(self, **about: Any) -> Iterator[None]:
    """What fails within it is a row, and the rest goes on."""
    try:
      yield
    except Exception as error:  # noqa: BLE001, as anything may be wrong there
      self.add(**about, error=said(error))


def said(error: Exception) -> str:
  """The kind of an error and the first line of its text."""
  lines = str(error).strip().splitlines() or ['']
  return f'{type(error).__name__}: {lines[0][:300]}'


def update(
  out: pathlib.Path,
  part: str,
  row: dict[str, Any] | None = None,
  **of_part: Any,
) -> None:
  """Writes what is new of a part into the file, which is whole at any time."""
  found = read(out)
  own = found.setdefault('parts', {}).setdefault(part, {'rows': []})
  own |= of_part
  if row is not None:
    own['rows'].append(row)
  files.write_json(out, found)


def read(out: pathlib.Path) -> dict[str, Any]:
  """What is in the file so far."""
  return json.loads(out.read_text()) if out.exists() else {}
