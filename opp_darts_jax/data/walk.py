"""The image files below a folder, at any depth, and what else lies there."""

import functools
import os
import pathlib
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image, ImageFile

from opp_darts_jax.errors import DataError, first_line

# What systems, archives and network drives put beside files.
_CLUTTER = ('Thumbs.db', 'desktop.ini', '__MACOSX', '@eaDir')


class Found(NamedTuple):
  """What lies in a folder.

  Attributes:
    images: paths below the folder, in order of name.
    skipped: how many files are no images, by suffix ('.txt', or '' for none).
  """

  images: list[str]
  skipped: Counter[str]


class Formats(NamedTuple):
  """The images that Pillow can read.

  Attributes:
    suffixes: that their files have, in lower case ('.png').
    signed: names of the formats that the first bytes of a file tell.
  """

  suffixes: frozenset[str]
  signed: tuple[str, ...]


def visible(name: str) -> bool:
  """Whether a file or folder is to be looked at: neither hidden nor clutter."""
  return not name.startswith('.') and name not in _CLUTTER


def suffix_of(name: str) -> str:
  """Returns '.jpg' of 'a/b.JPG', '' where there is none."""
  return os.path.splitext(name)[1].lower()


def entries(folder: pathlib.Path) -> list[os.DirEntry[str]]:
  """What lies in a folder, in any order.

  Raises:
    DataError: if it cannot be listed.
  """
  try:
    with os.scandir(folder) as found:
      return list(found)
  except OSError as error:
    raise _unlisted(error) from error


def printable(path: str | os.PathLike[str]) -> str:
  r"""A path as text that can be written; a byte that is not UTF-8 as \xe9."""
  return os.fsencode(path).decode('utf-8', 'backslashreplace')


@functools.cache
def formats() -> Formats:
  """What Pillow can read, and not only recognise or write."""
  Image.preinit()  # So that Pillow goes on to try the usual formats first.
  suffixes = Image.registered_extensions()
  readable = {
    name: accept
    for name, (factory, accept) in Image.OPEN.items()
    if name != 'MPEG'
    and not (
      isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile)
    )
  }
  return Formats(
    frozenset(suffix for suffix, name in suffixes.items() if name in readable),
    tuple(name for name, accept in readable.items() if accept is not None),
  )


def find_images(folder: pathlib.Path) -> Found:
  """The images in a folder and its sub-folders.

  A file is an image if its suffix says so, in any case, or else its first bytes
  do; to look at those of all files would take long. Links are followed, but not
  to a folder that was seen already, nor to one that holds this folder.

  Raises:
    DataError: if a folder cannot be listed.
  """
  images: list[str] = []
  skipped: Counter[str] = Counter()
  suffixes = formats().suffixes
  for place, names in _folders(folder):
    inside = os.path.relpath(place, folder)
    for name in filter(visible, names):
      suffix = suffix_of(name)
      if suffix in suffixes or _holds_image(f'{place}/{name}'):
        images.append(name if inside == '.' else f'{inside}/{name}')
      else:
        skipped[printable(suffix)] += 1
  return Found(sorted(images), skipped)


def _folders(top: pathlib.Path) -> Iterator[tuple[str, list[str]]]:
  """Each visible folder from `top` down, once, and the names of its files."""
  seen = {_identity(path) for path in (top, *top.parents)}
  seen |= {_identity(path) for path in top.resolve().parents}

  def fresh(path: str) -> bool:
    identity = _identity(path)
    if identity in seen:
      return False
    seen.add(identity)
    return True

  for place, folders, names in os.walk(top, onerror=_refuse, followlinks=True):
    folders[:] = [
      name
      for name in sorted(filter(visible, folders))
      if fresh(f'{place}/{name}')
    ]
    yield place, names


def _identity(path: str | os.PathLike[str]) -> tuple[int, int]:
  stat = os.stat(path)
  return stat.st_dev, stat.st_ino


def _refuse(error: OSError) -> None:
  raise _unlisted(error) from error


def _unlisted(error: OSError) -> DataError:
  return DataError(
    f'Expected a folder that can be listed, got {printable(error.filename)}: '
    f'{first_line(error)}.'
  )


def _holds_image(path: str) -> bool:
  if not os.path.isfile(path):  # To open a pipe would be to wait.
    return False
  try:
    with Image.open(path, formats=formats().signed):
      return True
  except Exception:  # noqa: BLE001, as a parser raises what it stumbles on
    return False
