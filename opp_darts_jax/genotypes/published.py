"""The published cells, and the genotype that a user means by a word."""

import pathlib
from collections.abc import Callable, Mapping, Sequence

from opp_darts_jax import errors
from opp_darts_jax.genotypes.darts_form import darts_genotype, from_text
from opp_darts_jax.genotypes.genotype import Genotype

# Reads a text of its form; None if the text does not look like it.
Parser = Callable[[str], Genotype | None]

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


def load_genotype(spec: str, parsers: Sequence[Parser] = ()) -> Genotype:
  """The genotype that a user means.

  Args:
    spec: a published name, the PyTorch text or JSON of a genotype, a text that
      one of `parsers` reads, or the path of a file that holds any of these.
    parsers: of further forms; each returns None for a text that does not look
      like its own, and raises `UserError` for one that is broken.

  Raises:
    UserError: if it is none of these, or its text is broken.
  """
  if spec in GENOTYPES:
    return GENOTYPES[spec]
  found = _parse(spec, parsers)
  if found:
    return found
  try:
    text = pathlib.Path(spec).expanduser().read_text(encoding='utf-8')
  except (OSError, ValueError, RuntimeError) as error:
    names = ', '.join(GENOTYPES)
    raise errors.UserError(
      f'{spec[:100]!r} is neither a readable file nor a published '
      f'genotype; published are: {names}.'
    ) from error
  try:
    # What is neither is refused in the words for JSON, the project's own form.
    return _parse(text, parsers) or Genotype.from_json(text)
  except errors.UserError as error:
    raise errors.UserError(f'In {spec}: {error}') from error


def _parse(text: str, parsers: Sequence[Parser]) -> Genotype | None:
  """The genotype that a text says; None if it does not look like one."""
  if text.lstrip().startswith('{'):
    return Genotype.from_json(text)
  if 'Genotype(' in text:
    return from_text(text)
  return next(filter(None, (parse(text) for parse in parsers)), None)
