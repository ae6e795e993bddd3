"""Data sets of arrays in an .npz file."""

import pathlib

import numpy as np

from opp_darts_jax import files
from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import notes, walk
from opp_darts_jax.data.arrays import source_of
from opp_darts_jax.data.source import DataSource, Source
from opp_darts_jax.errors import DataError, first_line

KEYS = (
  ('images', 'labels', 'test_images', 'test_labels'),
  ('x_train', 'y_train', 'x_test', 'y_test'),
)


def read(path: str, config: DataConfig) -> Source:
  """Reads arrays named as in `KEYS`, of which those to test on may be missing.

  Raises:
    DataError: if the file or its arrays are not as expected.
  """
  del config  # nothing to choose
  file = pathlib.Path(path).expanduser()
  arrays = _arrays(file)
  keys = next((k for k in KEYS if {k[0], k[1]} <= arrays.keys()), None)
  if keys is None:
    raise DataError(
      f'Expected arrays images and labels, or x_train and y_train, in '
      f'{str(file)!r}, got {", ".join(arrays) or "none"}.'
    )
  given = [key for key in keys[2:] if key in arrays]
  if len(given) == 1:
    raise DataError(
      f'Expected both {keys[2]} and {keys[3]} in {str(file)!r} or neither, got '
      f'{given[0]} alone.'
    )
  test = (arrays[keys[2]], arrays[keys[3]]) if given else None
  used = keys if given else keys[:2]
  own = source_of(
    arrays[keys[0]],
    arrays[keys[1]],
    test,
    name=walk.printable(file.stem),
    called=keys,
    where=f' in {str(file)!r}',
  )
  rest = [walk.printable(key) for key in arrays if key not in used]
  return own._replace(notes=notes.on_unused(rest))


def _arrays(file: pathlib.Path) -> dict[str, np.ndarray]:
  if not file.is_file():
    raise DataError(f'Expected an .npz file, got {str(file)!r}: no such file.')
  try:
    return files.read_npz(file)
  except (OSError, ValueError) as error:
    raise DataError(
      f'Expected an .npz file of plain arrays, got {str(file)!r}: '
      f'{first_line(error)}.'
    ) from error


SOURCE = DataSource('npz', read)
