"""The form of DARTS: a normal and a reduction cell, two edges for every node.

Such a genotype travels as the `Genotype(...)` text, too, that the PyTorch code
of DARTS prints and reads.
"""

import textwrap
from collections.abc import Sequence

from opp_darts_jax import errors
from opp_darts_jax.genotypes import literals, pairs
from opp_darts_jax.genotypes.genotype import Genotype

TEXT_FORM = (
  'Genotype(normal=[(operation, source), ...], normal_concat=[...], '
  'reduce=[...], reduce_concat=[...])'
)


def darts_genotype(
  normal: Sequence[tuple[str, int]],
  normal_concat: Sequence[int],
  reduce: Sequence[tuple[str, int]],
  reduce_concat: Sequence[int],
) -> Genotype:
  """A genotype of (operation, source) pairs, two for every node.

  Sources 0 and 1 are the cell's inputs, 2 + i is its intermediate node i.

  Args:
    normal: the edges of the normal cell, two for each intermediate node.
    normal_concat: the nodes whose concatenation is the normal cell's output.
    reduce: the edges of the reduction cell, as many.
    reduce_concat: the nodes of the reduction cell's output.

  Raises:
    UserError: on anything that is no such pair of cells.
  """
  return Genotype(
    pairs.cells_of_pairs(normal, normal_concat, reduce, reduce_concat)
  )


def is_darts_form(genotype: Genotype) -> bool:
  """Whether `darts_genotype` makes such genotypes."""
  return pairs.are_pairs(genotype.cells)


def to_text(genotype: Genotype) -> str:
  """The text that the PyTorch code of DARTS prints and evaluates.

  Raises:
    UserError: if the genotype has not the form of DARTS.
  """
  if not is_darts_form(genotype):
    raise errors.UserError(
      'Expected a genotype of the form of DARTS, a normal and a reduce cell '
      'with two inputs and two edges for each node, got the cells: '
      f'{", ".join(genotype.kinds)}; JSON takes every genotype.'
    )
  cells = ', '.join(
    f'{cell.kind}={list(pairs.pairs(cell))}, '
    f'{cell.kind}_concat={_concat_text(cell.output)}'
    for cell in genotype.cells
  )
  return f'Genotype({cells})'


def from_text(text: str) -> Genotype:
  """Reads the PyTorch text, bare or assigned as in `DARTS = Genotype(...)`.

  The text is parsed, never evaluated. Arguments may go without their names,
  `genotypes.Genotype(...)` and numbers as NumPy prints them are read too, and
  what else a file has besides one genotype is passed over.

  Raises:
    UserError: if the text is anything but one such genotype of literals; it
      names the place where reading stopped.
  """
  text = text.replace('\r\n', '\n').replace('\r', '\n')
  text = textwrap.dedent(text).lstrip(' \t')
  try:
    calls = literals.read_calls(text, 'Genotype')
    if len(calls) != 1:
      names = ', '.join(name or 'one without a name' for name, _ in calls)
      raise errors.UserError(
        f'Expected the text of one genotype, {TEXT_FORM}, got {len(calls)}'
        + (f': {names}.' if calls else '.')
      )
    fields = literals.arguments(text, calls[0][1], pairs.FIELDS)
  except literals.UnreadableError as error:
    raise errors.UserError(
      f'Expected the text {TEXT_FORM}; reading stopped in {error}.'
    ) from error
  return Genotype.from_dict(fields)


def _concat_text(concat: tuple[int, ...]) -> str:
  span = range(concat[0], concat[-1] + 1)
  return str(span if tuple(span) == concat else list(concat))
