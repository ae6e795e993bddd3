"""The data sources that ship with the package, by name."""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from opp_darts_jax import naming
from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import digits, folder, npz, tfds
from opp_darts_jax.data.source import DataSource
from opp_darts_jax.errors import DataError, UserError, file_of, telling

SOURCES: Mapping[str, DataSource] = {
  source.name: source
  for source in (digits.SOURCE, folder.SOURCE, npz.SOURCE, tfds.SOURCE)
}

# MODULE:NAME is no path, and ends in no version of tfds ('mnist:3.*.*').
_OWN = re.compile(r'.+\.py(:.*)?$|[A-Za-z_][\w.]*:[A-Za-z_]\w*$')


def find_source(text: str) -> tuple[DataSource, str]:
  """Which source a config's `data.source` names, and where that is to read.

  Args:
    text: 'digits'; the path of a folder or an .npz file; the name of a tfds
      data set; any of these as 'KIND:PLACE', which settles what a word means;
      or your own as 'MODULE:NAME' or 'FILE.py:NAME', a `DataSource` or a
      function read(place, config) that gives a `Source`.

  Returns:
    The source and its place, '' for digits and for your own.

  Raises:
    UserError: if your own does not exist or is neither, or a kind comes without
      its place.
  """
  kind, colon, place = text.partition(':')
  if colon and kind in SOURCES:
    if not place or kind == digits.SOURCE.name:
      raise UserError(
        'Expected a data source as digits, folder:PATH, npz:PATH or tfds:NAME, '
        f'got {text!r}.'
      )
    return SOURCES[kind], place
  if text == digits.SOURCE.name:
    return digits.SOURCE, ''
  if os.path.isdir(os.path.expanduser(text)):
    return folder.SOURCE, text
  if _OWN.match(text):
    return _own(text), ''
  if text.endswith('.npz'):
    return npz.SOURCE, text
  if text.startswith(('/', './', '../', '~')):
    return folder.SOURCE, text
  return tfds.SOURCE, text


def _own(text: str) -> DataSource:
  found = naming.find('data source', text, SOURCES)
  if isinstance(found, DataSource):
    listing = found.listing and _telling(text, found.listing)
    part = found.part and _telling(text, found.part)
    read = _telling(text, found.read)
    return found._replace(read=read, listing=listing, part=part)
  if not callable(found):
    raise UserError(
      f'Expected a DataSource or a function read(place, config) as {text}, got '
      f'{type(found).__name__}.'
    )
  return DataSource(text.rpartition(':')[2], _telling(text, found))


def _telling(
  text: str, function: Callable[[str, DataConfig], Any]
) -> Callable[[str, DataConfig], Any]:
  """A function of the user's, which raises sentences."""

  def call(place: str, config: DataConfig) -> Any:
    sentence = f'Could not read the data source {text}'
    with telling(sentence, file_of(function), DataError):
      return function(place, config)

  return call
