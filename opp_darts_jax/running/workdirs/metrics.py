"""Numbers of a run: metrics.jsonl and TensorBoard behind one writer."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, Self

from absl import logging

from opp_darts_jax.files import plain, read_lines
from opp_darts_jax.recorded import METRICS, is_number


def read_epochs(workdir: pathlib.Path) -> list[dict[str, Any]]:
  """The numbers of the epochs that a run has ended, from its metrics."""
  lines = read_lines(workdir / METRICS)
  return [line for line in lines if line.get('kind') == 'epoch']


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
    there = self._path.stat().st_size
    if there > size:
      os.truncate(self._path, size)
    elif there < size:
      logging.warning(
        '%s has %d bytes, and had %d when the run was saved: lines that were '
        'lost are not written again.', path, there, size
      )  # fmt: skip
      # What is left of a line would spoil the next one.
      os.truncate(self._path, self._path.read_bytes().rfind(b'\n') + 1)
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
    self._file.write(json.dumps(plain(values), allow_nan=False) + '\n')
    self._file.flush()


class MetricsWriter:
  """Numbers to lines of JSON and to TensorBoard; a context manager.

  Args:
    lines: of the run; what is in them is the same whenever the run is the same.
    folder: for TensorBoard's event files, which have times as well.
    step: after which is written; 0 at the beginning of a run.
  """

  def __init__(self, lines: JsonLines, folder: pathlib.Path, step: int) -> None:
    import tensorboardX  # Here, as readers of metrics need none of it.

    self._lines = lines
    # Event files cannot be cut: TensorBoard is told to disregard these steps.
    self._events = tensorboardX.SummaryWriter(
      str(folder), purge_step=step + 1 if step else None
    )

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exc_info: object) -> None:
    self._events.close()

  def write(self, kind: str, step: int, epoch: int, /, **values: Any) -> None:
    """Writes one line, and every number in it as the scalar `kind/name`.

    Args:
      kind: what the values describe, for instance 'train'.
      step: steps taken so far.
      epoch: the epoch they belong to.
      **values: as for `JsonLines.write`.
    """
    record = {'kind': kind, 'epoch': epoch, 'step': step, **values}
    self._lines.write(record)
    for name, value in plain(values).items():
      if is_number(value):
        self._events.add_scalar(f'{kind}/{name}', value, step)
