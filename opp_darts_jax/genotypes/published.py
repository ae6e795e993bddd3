"""The published cells, and the genotype that a user means by a word."""

import codecs
import os
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence

from opp_darts_jax import errors
from opp_darts_jax.genotypes.darts_form import (
  TEXT_FORM,
  darts_genotype,
  from_text,
)
from opp_darts_jax.genotypes.genotype import Genotype

# Reads a text of its form; None if the text does not look like it.
Parser = Callable[[str], Genotype | None]

_CALL = re.compile(r'\bGenotype\s*\(')
_LARGEST = 1 << 20  # Bytes; a genotype has some hundreds.
_SHORT = {
  'max': 'max_pool_3x3',
  'avg': 'avg_pool_3x3',
  'skip': 'skip_connect',
  'sep3': 'sep_conv_3x3',
  'sep5': 'sep_conv_5x5',
  'sep7': 'sep_conv_7x7',
  'dil3': 'dil_conv_3x3',
  'dil5': 'dil_conv_5x5',
  'conv7': 'conv_7x1_1x7',
}


def _published(
  normal: str,
  reduce: str,
  normal_concat: tuple[int, ...] = (2, 3, 4, 5),
  reduce_concat: tuple[int, ...] = (2, 3, 4, 5),
) -> Genotype:
  """A genotype of cells in short: every operation and then its source node."""

  def cell(text: str) -> tuple[tuple[str, int], ...]:
    words = text.split()
    names, sources = words[::2], words[1::2]
    return tuple((_SHORT[n], int(s)) for n, s in zip(names, sources))

  return darts_genotype(
    cell(normal), normal_concat, cell(reduce), reduce_concat
  )


GENOTYPES: Mapping[str, Genotype] = {
  # Zoph et al., "Learning Transferable Architectures", CVPR 2018.
  'NASNet': _published(
    'sep5 1 sep3 0  sep5 0 sep3 0  avg 1 skip 0  avg 0 avg 0  sep3 1 skip 1',
    'sep5 1 sep7 0  max 1 sep7 0  avg 1 sep5 0  skip 3 avg 2  sep3 2 max 1',
    normal_concat=(2, 3, 4, 5, 6),
    reduce_concat=(4, 5, 6),
  ),
  # Real et al., "Regularized Evolution", AAAI 2019.
  'AmoebaNet': _published(
    'avg 0 max 1  sep3 0 sep5 2  sep3 0 avg 3  sep3 1 skip 1  skip 0 avg 1',
    'avg 0 sep3 1  max 0 sep7 2  sep7 0 avg 1  max 0 max 1  conv7 0 sep3 5',
    normal_concat=(4, 5, 6),
    reduce_concat=(3, 4, 6),
  ),
  # Liu et al., "DARTS", ICLR 2019: first order, then second.
  'DARTS_V1': _published(
    'sep3 1 sep3 0  skip 0 sep3 1  skip 0 sep3 1  sep3 0 skip 2',
    'max 0 max 1  skip 2 max 0  max 0 skip 2  skip 2 avg 0',
  ),
  'DARTS_V2': _published(
    'sep3 0 sep3 1  sep3 0 sep3 1  sep3 1 skip 0  skip 0 dil3 2',
    'max 0 max 1  skip 2 max 1  max 0 skip 2  skip 2 max 1',
  ),
  # Zhu et al., "Operation-level Progressive Differentiable Architecture
  # Search", ICDM 2021, Figure 2; and the default of its code, another cell.
  'OPP_DARTS': _published(
    'sep3 0 sep3 1  sep3 0 sep3 1  sep3 0 sep3 1  dil3 0 skip 2',
    'avg 0 sep3 1  avg 0 skip 2  avg 0 skip 2  avg 0 sep3 1',
  ),
  'OPP_DARTS_REPOSITORY': _published(
    'sep3 0 skip 1  skip 2 sep3 0  dil5 1 dil5 2  dil5 2 dil5 1',
    'sep3 0 sep3 1  sep3 0 sep3 2  sep3 0 sep3 2  sep3 0 sep3 1',
  ),
}


def load_genotype(
  spec: str | pathlib.Path, parsers: Sequence[Parser] = ()
) -> Genotype:
  """The genotype that a user means.

  Args:
    spec: a published name, the PyTorch text or JSON of a genotype, a text that
      one of `parsers` reads, or the path of a file that holds any of these.
    parsers: of further forms; each returns None for a text that does not look
      like its own, and raises `UserError` for one that is broken.

  Raises:
    UserError: if it is none of these, or its text is broken.
  """
  errors.check_type('a genotype', spec, str, os.PathLike)
  spec = os.fspath(spec)
  found = _parse(spec, parsers)
  if found:
    return found
  try:
    text = _read(pathlib.Path(spec).expanduser()) if spec.strip() else ''
    found = _parse(text, parsers)
  except errors.UserError as error:
    raise errors.UserError(f'In {spec}: {error}') from error
  except (OSError, ValueError, RuntimeError) as error:
    raise errors.UserError(
      f'{spec[:100]!r} is neither a readable file nor the text of a genotype '
      f'nor a published one; {_valid()}.'
    ) from error
  if not found:
    start = text.strip()[:60]
    got = f'text that begins {start!r}' if start else 'none'
    where = f'In {spec}: expected' if spec.strip() else 'Expected'
    raise errors.UserError(f'{where} a genotype, got {got}; {_valid()}.')
  return found


def _parse(text: str, parsers: Sequence[Parser]) -> Genotype | None:
  """The genotype that a text says; None if it does not look like one."""
  text = text.strip()
  if text in GENOTYPES:
    return GENOTYPES[text]
  if text.startswith('{'):
    return Genotype.from_json(text)
  if _CALL.search(text):
    return from_text(text)
  return next(filter(None, (parse(text) for parse in parsers)), None)


def _valid() -> str:
  return (
    "valid are JSON (a run's genotype.json), the text "
    f"{TEXT_FORM}, the text that the field has for cells of the config's "
    f'space, the path of a file with any of them, and {", ".join(GENOTYPES)}'
  )


def _read(path: pathlib.Path) -> str:
  """The text of a file, in UTF-8 or, as Windows writes it, UTF-16.

  Raises:
    UserError: if it is a folder, too large for a genotype, or no text.
    OSError: if it cannot be read.
  """
  if path.is_dir():
    raise errors.UserError(
      'Expected the file of a genotype, such as the genotype.json of a run, '
      'got a folder.'
    )
  with open(path, 'rb') as file:
    content = file.read(_LARGEST + 1)
  if len(content) > _LARGEST:
    raise errors.UserError(
      f'Expected a genotype, got a file of more than {_LARGEST >> 20} MB; '
      f'{_valid()}.'
    )
  wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
  try:
    return content.decode('utf-16' if wide else 'utf-8-sig')
  except UnicodeDecodeError as error:
    raise errors.UserError(
      f'Expected the text of a genotype, got a file that is no text in UTF-8 '
      f'(byte {error.start}); {_valid()}.'
    ) from error
