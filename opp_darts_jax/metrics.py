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


class JsonLines:
  """Appends objects to a file, one JSON object a line; a context manager.

  Opened on the file of an interrupted run, it drops a last line that was cut
  short and goes on behind the rest.
  """

  def __init__(self, path: str | os.PathLike[str]) -> None:
    self._path = pathlib.Path(path)
    self._path.touch()
    os.truncate(self._path, self._path.read_bytes().rfind(b'\n') + 1)
    self._file = open(self._path, 'a', encoding='utf-8')  # noqa: SIM115

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exc_info: object) -> None:
    self._file.close()

  def drop_from(self, epoch: int) -> None:
    """Drops the lines of this epoch and later ones, which are to be redone."""
    kept = [line for line in read_lines(self._path) if line['epoch'] < epoch]
    self._file.close()
    _replace(self._path, ''.join(json.dumps(line) + '\n' for line in kept))
    self._file = open(self._path, 'a', encoding='utf-8')  # noqa: SIM115

  def write(self, values: Mapping[str, Any]) -> None:
    """Writes one line, at once readable by others.

    Args:
      values: numbers, text, NumPy or JAX arrays, lists or dicts of them. NaN
        and infinity, which JSON does not have, become null.
    """
    self._file.write(json.dumps(_plain(values), allow_nan=False) + '\n')
    self._file.flush()


class MetricsWriter:
  """Numbers to `workdir/metrics.jsonl` and TensorBoard; a context manager.

  Args:
    workdir: of the run; event files go into its folder `tensorboard`.
    epoch: the first to be written; what a run that was cut off wrote of it and
      later ones is dropped.
    step: at which that epoch begins.
  """

  def __init__(
    self, workdir: pathlib.Path, epoch: int = 0, step: int = 0
  ) -> None:
    import tensorboardX  # Here, as readers of metrics need none of it.

    self._lines = JsonLines(workdir / 'metrics.jsonl')
    self._lines.drop_from(epoch)
    # Event files cannot be cut: TensorBoard is told to disregard the steps.
    self._events = tensorboardX.SummaryWriter(
      str(workdir / 'tensorboard'), purge_step=step if epoch else None
    )

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exc_info: object) -> None:
    self._lines.__exit__(*exc_info)
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
