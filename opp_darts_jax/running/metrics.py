"""Numbers of a run: metrics.jsonl and TensorBoard behind one writer."""

import contextlib
import json
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
from absl import logging

# Of every run: its numbers, the same whenever the run is, and its times.
METRICS = 'metrics.jsonl'
TIMES = 'times.jsonl'


class JsonLines:
  """Appends objects to a file, one JSON object a line; a context manager.

  Args:
    path: of the file.
    size: in bytes, of what is kept of a file that is there already: what a run
      that was cut off wrote after its last checkpoint is written again.
  """

  def __init__(self, path: str | os.PathLike[str], size: int = 0) -> None:
    self._path = pathlib.Path(path)
    self._path.touch()
    if self._path.stat().st_size > size:
      os.truncate(self._path, size)
    self._file = open(self._path, 'a', encoding='utf-8')  # noqa: SIM115

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exc_info: object) -> None:
    self._file.close()

  @property
  def size(self) -> int:
    """Of the file, in bytes."""
    return self._path.stat().st_size

  def write(self, values: Mapping[str, Any]) -> None:
    """Writes one line, at once readable by others.

    Args:
      values: numbers, text, NumPy or JAX arrays, lists or dicts of them. NaN
        and infinity, which JSON does not have, become null.
    """
    self._file.write(json.dumps(_plain(values), allow_nan=False) + '\n')
    self._file.flush()


class MetricsWriter:
  """Numbers to lines of JSON and to TensorBoard; a context manager.

  Args:
    lines: of the run; what is in them is the same whenever the run is the same.
    folder: for TensorBoard's event files, which have times as well.
    step: the first to be written; 0 at the beginning of a run.
  """

  def __init__(self, lines: JsonLines, folder: pathlib.Path, step: int) -> None:
    import tensorboardX  # Here, as readers of metrics need none of it.

    self._lines = lines
    # Event files cannot be cut: TensorBoard is told to disregard the steps.
    self._events = tensorboardX.SummaryWriter(
      str(folder), purge_step=step or None
    )

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exc_info: object) -> None:
    self._events.close()

  def write(self, kind: str, step: int, epoch: int, **values: Any) -> None:
    """Writes one line, and every number in it as the scalar `kind/name`.

    Args:
      kind: what the values describe, for instance 'train'.
      step: steps taken so far.
      epoch: the epoch they belong to.
      **values: as for `JsonLines.write`.
    """
    record = {'kind': kind, 'epoch': epoch, 'step': step, **values}
    self._lines.write(record)
    for name, value in _plain(values).items():
      if isinstance(value, (int, float)) and not isinstance(value, bool):
        self._events.add_scalar(f'{kind}/{name}', value, step)


def read_lines(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
  """The objects of a JSON lines file; none if there is no file.

  A line that was half written when a run was cut off is left out: the last one
  quietly, since a run may be writing it, any other with a warning.
  """
  path = pathlib.Path(path)
  lines = path.read_bytes().splitlines() if path.is_file() else []
  records = []
  for number, line in enumerate(lines, start=1):
    try:
      records.append(json.loads(line))
    except ValueError:
      if line.strip() and number < len(lines):
        logging.warning('%s: line %d is not JSON, left out.', path, number)
  return [record for record in records if isinstance(record, dict)]


def write_json(path: str | os.PathLike[str], obj: Any) -> None:
  """Writes an indented JSON file that is at all times old or new, never half.

  Arrays, NaN and infinity are treated as in `JsonLines.write`.
  """
  text = json.dumps(_plain(obj), indent=2, allow_nan=False) + '\n'
  _replace(pathlib.Path(path), text)


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """A path to write to; in the end it becomes `path`, unless an error came."""
  # In the same folder: a rename is atomic only within one file system.
  temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
  try:
    yield temporary
    with open(temporary, 'rb') as file:
      os.fsync(file.fileno())
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)


def _replace(path: pathlib.Path, text: str) -> None:
  with replacing(path) as temporary:
    temporary.write_text(text, encoding='utf-8')


def _plain(value: Any) -> Any:
  """A value of JSON's own types, with null for numbers JSON cannot write."""
  if isinstance(value, Mapping):
    return {str(key): _plain(item) for key, item in value.items()}
  if isinstance(value, (list, tuple)):
    return [_plain(item) for item in value]
  if hasattr(value, 'dtype'):
    array = np.asarray(value)
    # NumPy knows bfloat16 and its kin only as opaque bytes.
    array = array.astype(np.float32) if array.dtype.kind == 'V' else array
    return _plain(array.tolist())
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value
