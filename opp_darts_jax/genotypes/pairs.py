"""Cells as DARTS writes them: pairs of operation and source, two a node.

The node is not written: pairs 0 and 1 feed node 2, the first after the two
inputs, pairs 2 and 3 feed node 3, and so on.
"""

from collections.abc import Sequence
from typing import Any

from opp_darts_jax import errors
from opp_darts_jax.genotypes.cell import Cell, Edge, whole

REDUCE = 'reduce'
KINDS = ('normal', REDUCE)
FIELDS = ('normal', 'normal_concat', 'reduce', 'reduce_concat')


def cells_of_pairs(
  normal: Sequence[tuple[str, int]],
  normal_concat: Sequence[int],
  reduce: Sequence[tuple[str, int]],
  reduce_concat: Sequence[int],
) -> tuple[Cell, Cell]:
  """The two cells of a genotype of DARTS.

  Raises:
    UserError: on anything that is no such pair of cells.
  """
  values = (normal, normal_concat, reduce, reduce_concat)
  for name, value in zip(FIELDS, values):
    if not isinstance(value, (list, tuple, range)):
      raise errors.UserError(
        f'Expected a list as {name} of a genotype, got {value!r}.'
      )
  cells = (
    _cell('normal', tuple(normal), tuple(normal_concat)),
    _cell('reduce', tuple(reduce), tuple(reduce_concat)),
  )
  if len(normal) != len(reduce):
    raise errors.UserError(
      'Expected two cells of one size, got a normal cell of '
      f'{len(normal)} edges and a reduce cell of {len(reduce)}.'
    )
  return cells


def pairs(cell: Cell) -> tuple[tuple[str, int], ...]:
  """The (operation, source) pairs of a cell; see `are_pairs`."""
  return tuple((edge.operation, edge.source) for edge in cell.edges)


def are_pairs(cells: Sequence[Cell]) -> bool:
  """Whether these cells, and no less than them, can be written as pairs."""
  if tuple(cell.kind for cell in cells) != KINDS:
    return False
  normal, reduce = cells
  nodes = [2 + index // 2 for index in range(len(normal.edges))]
  return normal.nodes == reduce.nodes and all(
    cell.inputs == 2
    and len(cell.edges) == 2 * cell.nodes
    and [edge.node for edge in cell.edges] == nodes
    for cell in cells
  )


def _cell(kind: str, entries: tuple[Any, ...], concat: tuple[Any, ...]) -> Cell:
  """A cell of pairs; raises `UserError` unless they make one."""
  if not entries or len(entries) % 2:
    raise errors.UserError(
      f'Expected two edges for each node of the {kind} cell, got '
      f'{len(entries)} edges.'
    )
  edges = []
  for index, entry in enumerate(entries):
    node = 2 + index // 2
    match entry:
      case (str(operation), source) if whole(source) is not None:
        edges.append(Edge(operation, int(source), node))
      case _:
        raise errors.UserError(
          f'Expected an (operation, source) pair at node {node} of the {kind} '
          f'cell, got {entry!r}.'
        )
  last = 1 + len(entries) // 2
  in_range = all(whole(n) in range(2, last + 1) for n in concat)
  if not concat or not in_range or len(set(concat)) != len(concat):
    raise errors.UserError(
      f'Expected {kind}_concat to name different nodes from 2 to {last}, got '
      f'{list(concat)}.'
    )
  return Cell(kind, 2, tuple(edges), concat)
