"""Files: JSON that is old or new, never half, lines of it, and arrays."""

import contextlib
import json
import math
import os
import pathlib
import secrets
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from absl import logging

# What archives raise; the third of a compression that there is not, say.
_DAMAGED = (
  zlib.error,
  zipfile.BadZipFile,
  RuntimeError,
  EOFError,
  MemoryError,
)


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


def read_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  """The arrays in an .npz file, of any but Python objects.

  Raises:
    OSError: if it cannot be read.
    ValueError: if it is another file, or a damaged one, or too large.
  """
  with open(path, 'rb') as file:
    # NumPy takes what does not begin as an archive for pickled objects.
    if file.read(4) not in (b'PK\3\4', b'PK\5\6'):
      raise ValueError('a file that is no .npz')
    file.seek(0)
    try:
      with np.load(file) as arrays:
        return dict(arrays)
    except _DAMAGED as error:
      raise ValueError(f'arrays that cannot be read: {error}') from error


def read_json(path: str | os.PathLike[str]) -> Any:
  """The contents of a JSON file; None if there is no file, or no such one."""
  try:
    return json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
  except (OSError, ValueError):
    return None


def write_json(path: str | os.PathLike[str], obj: Any) -> None:
  """Writes an indented JSON file that is at all times old or new, never half.

  Arrays, NaN and infinity are treated as in `JsonLines.write`.
  """
  write_text(path, json.dumps(plain(obj), indent=2, allow_nan=False) + '\n')


def write_text(path: str | os.PathLike[str], text: str) -> None:
  """Writes a text file that is at all times old or new, never half.

  What is no text, as bytes in the names of folders, becomes a question mark.
  """
  with replacing(pathlib.Path(path)) as temporary:
    temporary.write_text(text, encoding='utf-8', errors='replace')


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """A path to write to; in the end it becomes `path`, unless an error came."""
  # In the same folder: a rename is atomic only within one file system.
  # Of a name of its own: other threads and machines may write it, too.
  temporary = path.with_name(f'.{path.name}.{secrets.token_hex(8)}.tmp')
  try:
    yield temporary
    with open(temporary, 'rb') as file:
      os.fsync(file.fileno())
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)


def plain(value: Any) -> Any:
  """A value of JSON's own types, with null for numbers JSON cannot write."""
  if isinstance(value, Mapping):
    return {str(key): plain(item) for key, item in value.items()}
  if isinstance(value, (list, tuple)):
    return [plain(item) for item in value]
  if hasattr(value, 'dtype'):
    array = np.asarray(value)
    # NumPy knows bfloat16 and its kin only as opaque bytes.
    array = array.astype(np.float32) if array.dtype.kind == 'V' else array
    return plain(array.tolist())
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value
