"""How a folder of images is laid out: its splits and its class folders."""

import os
import pathlib
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from opp_darts_jax.data import notes, walk
from opp_darts_jax.errors import DataError

TRAIN = ('train', 'training')
TEST = ('test', 'testing', 'val', 'valid', 'validation')  # the first one there


class Splits(NamedTuple):
  """The folders that hold the class folders.

  Attributes:
    train: of the images to train on.
    test: of those to test on, if they have a folder of their own.
    notes: what is not used.
  """

  train: pathlib.Path
  test: pathlib.Path | None
  notes: tuple[str, ...] = ()


def find_splits(root: pathlib.Path) -> Splits:
  """Finds the folders named as in `TRAIN` and `TEST`, in any case.

  A class may be called train, too: then its folder holds images and no folders.

  Raises:
    DataError: if it is unclear which folder is which.
  """
  folders = subfolders(root)
  trains = [each for each in _called(TRAIN, folders) if subfolders(each)]
  flat_or_not = _called(TEST, folders)
  tests = [each for each in flat_or_not if subfolders(each)] or flat_or_not
  if not trains:
    named = {*_called(TRAIN, folders), *flat_or_not}
    if flat_or_not and (subfolders(tests[0]) or named == {*folders}):
      raise DataError(
        f'Expected class folders in a folder train beside {_names(tests[:1])} '
        f'in {str(root)!r}, got none: the folders there are {_names(folders)}.'
      )
    return Splits(root, None)
  rest = [each for each in folders if each not in (trains[0], *tests[:1])]
  if rest and not tests:
    raise DataError(
      f'Expected beside {_names(trains[:1])} in {str(root)!r} no more than a '
      f'folder to test on ({", ".join(TEST)}), got {_names(rest)}; name '
      f'{str(trains[0])!r} as the source to read that alone.'
    )
  same = [
    each for each in tests if each.name.casefold() == tests[0].name.casefold()
  ]
  for what, found in (('train', trains), ('test', same)):
    if len(found) > 1:
      raise DataError(
        f'Expected one folder to {what} on in {str(root)!r}, got '
        f'{_names(found)}.'
      )
  unused = notes.on_unused([walk.printable(each.name) for each in rest])
  return Splits(trains[0], tests[0] if tests else None, unused)


def class_folders(root: pathlib.Path) -> dict[str, pathlib.Path]:
  """Returns the class folders by name (Unicode NFC), in order of name.

  Raises:
    DataError: if there are none, or a name is not UTF-8 or comes twice.
  """
  classes: dict[str, pathlib.Path] = {}
  for folder in subfolders(root):
    name = unicodedata.normalize('NFC', folder.name)
    if walk.printable(name) != name:
      raise DataError(
        f'Expected class folders with names in UTF-8 in {str(root)!r}, got '
        f'{os.fsencode(name)!r}.'
      )
    if name in classes:
      both = (os.fsencode(each.name) for each in (classes[name], folder))
      raise DataError(
        f'Expected class folders of different names in {str(root)!r}, got '
        f'{name!r} twice, written in Unicode as {" and ".join(map(repr, both))}'
        '.'
      )
    classes[name] = folder
  if not classes:
    raise DataError(
      f'Expected one folder per class in {str(root)!r}, got no folders.'
    )
  return dict(sorted(classes.items()))


def stray_images(root: pathlib.Path) -> tuple[str, ...]:
  """Says how many images lie beside the class folders, which have no class."""
  suffixes = walk.formats().suffixes
  count = sum(
    walk.visible(entry.name)
    and walk.suffix_of(entry.name) in suffixes
    and not entry.is_dir()
    for entry in walk.entries(root)
  )
  if not count:
    return ()
  where = walk.printable(root.resolve().name)
  images = notes.counted(count, 'image')
  return (f'{images} beside the class folders of {where} not used',)


def subfolders(root: pathlib.Path) -> list[pathlib.Path]:
  """Returns the visible folders in a folder, in order of name."""
  names = [each.name for each in walk.entries(root) if each.is_dir()]
  return [root / name for name in sorted(filter(walk.visible, names))]


def _called(
  names: Sequence[str], folders: Sequence[pathlib.Path]
) -> list[pathlib.Path]:
  """The folders that have one of these names, in the order of the names."""
  found = [each for each in folders if each.name.casefold() in names]
  return sorted(found, key=lambda each: names.index(each.name.casefold()))


def _names(folders: Sequence[pathlib.Path]) -> str:
  return notes.listed([walk.printable(each.name) for each in folders])
