"""Whether a genotype is one that a search of a space could have found."""

from opp_darts_jax.errors import UserError, check_choice
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.spaces.space import Space


def check_genotype(space: Space, genotype: Genotype) -> None:
  """Raises `UserError` unless every edge has an operation of the space.

  Where the space lists the operations of every edge, the cell has its edges and
  on each of them one of those that are listed. Elsewhere cells may have more or
  fewer nodes, and operations of `Space.further` too.

  Args:
    space: whose networks are to be trained.
    genotype: of the cells.
  """
  space.check(genotype)
  listed = dict(space.candidates)
  valid = (*space.names, *(operation.name for operation in space.further))
  for cell in genotype.cells:
    for operation, source, node in cell.edges:
      check_choice(f'operation of space {space.name!r}', operation, valid)
      if cell.kind not in listed:
        continue
      row = listed[cell.kind][space.graph.edge_index(source, node)]
      if operation not in row:
        raise UserError(
          f'Expected one of {", ".join(row)} on the edge from node {source} to '
          f'node {node} of the {cell.kind} cell, as space {space.name!r} '
          f'lists, got {operation}.'
        )
