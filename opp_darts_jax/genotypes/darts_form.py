"""The form of DARTS: a normal and a reduction cell, two edges for every node.

Such a genotype travels as the `Genotype(...)` text, too, that the PyTorch code
of DARTS prints and reads.
"""

import ast
from collections.abc import Sequence
from typing import Any

from opp_darts_jax import errors
from opp_darts_jax.genotypes import pairs as pairs_lib
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.genotypes.pairs import pairs

__all__ = [
  'darts_genotype',
  'from_text',
  'is_darts_form',
  'pairs',
  'to_text',
]


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
    pairs_lib.cells_of_pairs(normal, normal_concat, reduce, reduce_concat)
  )


def is_darts_form(genotype: Genotype) -> bool:
  """Whether `darts_genotype` makes such genotypes."""
  return pairs_lib.are_pairs(genotype.cells)


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
    f'{cell.kind}={list(pairs(cell))}, '
    f'{cell.kind}_concat={_concat_text(cell.output)}'
    for cell in genotype.cells
  )
  return f'Genotype({cells})'


def from_text(text: str) -> Genotype:
  """Reads the PyTorch text, bare or assigned as in `DARTS = Genotype(...)`.

  The text is parsed, never evaluated.

  Raises:
    UserError: if the text is anything but such a genotype of literals.
  """
  try:
    fields = _text_fields(text)
  except (SyntaxError, TypeError, ValueError, RecursionError) as error:
    raise errors.UserError(
      'Expected the text Genotype(normal=[(operation, source), ...], '
      'normal_concat=[...], reduce=[...], reduce_concat=[...]), '
      f'got {text[:100]!r}.'
    ) from error
  return Genotype.from_dict(fields)


def _concat_text(concat: tuple[int, ...]) -> str:
  span = range(concat[0], concat[-1] + 1)
  return str(span if tuple(span) == concat else list(concat))


def _text_fields(text: str) -> dict[str, Any]:
  """The keyword arguments in `[name =] Genotype(...)`; TypeError otherwise."""
  match ast.parse(text.strip()).body:
    case [
      ast.Expr(value=ast.Call(ast.Name('Genotype'), [], keywords))
      | ast.Assign(value=ast.Call(ast.Name('Genotype'), [], keywords))
    ]:
      return {str(k.arg): _literal(k.value) for k in keywords}
    case _:
      raise TypeError('not a genotype')


def _literal(value: ast.expr) -> Any:
  """A literal or a call of `range` with literals."""
  match value:
    case ast.Call(func=ast.Name(id='range'), args=args, keywords=[]):
      # A mistyped range of billions shall not fill the memory.
      return range(*map(ast.literal_eval, args))[:100]
    case _:
      return ast.literal_eval(value)
