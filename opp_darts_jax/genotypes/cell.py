"""A discrete cell: which operations lead from which node to which."""

import dataclasses
import numbers
from typing import Any, NamedTuple

from opp_darts_jax import errors

# Operations that rules ask for by name.
NONE = 'none'
SKIP = 'skip_connect'


class Edge(NamedTuple):
  """An operation on the way from one node of a cell to a later one."""

  operation: str
  source: int
  node: int


@dataclasses.dataclass(frozen=True)
class Cell:
  """The edges of a cell; every intermediate node is the sum of those into it.

  Inputs have the numbers 0 to `inputs` - 1, intermediate nodes the numbers
  after them. Operations are names, which whoever builds a network looks up.

  Attributes:
    kind: of the cell, such as 'normal' or 'reduce'.
    inputs: how many inputs it has.
    edges: in any order; a node may have none, and one edge may come twice.
    output: the nodes whose concatenation is the output; of one alone, that
      node itself.

  Raises:
    UserError: on anything that is no such cell.
  """

  kind: str
  inputs: int
  edges: tuple[Edge, ...]
  output: tuple[int, ...]

  def __post_init__(self) -> None:
    if not isinstance(self.kind, str) or not self.kind:
      raise errors.UserError(
        f'Expected a name as the kind of a cell, got {self.kind!r}.'
      )
    if (whole(self.inputs) or 0) < 1:
      raise errors.UserError(
        f'Expected the {self.kind} cell to have at least 1 input, got '
        f'{self.inputs!r}.'
      )
    if not isinstance(self.edges, tuple) or not isinstance(self.output, tuple):
      raise errors.UserError(
        f'Expected tuples as edges and output of the {self.kind} cell, got '
        f'{type(self.edges).__name__} and {type(self.output).__name__}; '
        'Genotype.from_dict takes lists.'
      )
    edges = tuple(_checked_edge(self, edge) for edge in self.edges)
    object.__setattr__(self, 'edges', edges)
    output = tuple(map(whole, self.output))
    known = all(n is not None and n >= self.inputs for n in output)
    if not known or not output or len(set(output)) < len(output):
      raise errors.UserError(
        f'Expected the output of the {self.kind} cell to name different nodes '
        f'from {self.inputs} on, got {list(self.output)}.'
      )
    object.__setattr__(self, 'inputs', whole(self.inputs))
    object.__setattr__(self, 'output', output)

  @property
  def nodes(self) -> int:
    """How many intermediate nodes: up to the last that is fed or put out."""
    last = max(*self.output, *(edge.node for edge in self.edges), 0)
    return last - self.inputs + 1

  def into(self, node: int) -> tuple[Edge, ...]:
    """The edges that feed a node."""
    return tuple(edge for edge in self.edges if edge.node == node)


def whole(value: object) -> int | None:
  """The whole number that a value is, NumPy's too; None if it is none."""
  if isinstance(value, numbers.Integral) and not isinstance(value, bool):
    return int(value)
  return None


def _checked_edge(cell: Cell, edge: Any) -> Edge:
  """The edge; raises `UserError` unless it is one of the cell."""
  right = isinstance(edge, tuple) and len(edge) == 3
  name, source, node = edge if right else ('', None, None)
  source, node = whole(source), whole(node)
  if not isinstance(name, str) or source is None or node is None:
    raise errors.UserError(
      f'Expected (operation, source, node) as an edge of the {cell.kind} '
      f'cell, got {edge!r}.'
    )
  edge = Edge(name, source, node)
  if edge.node < cell.inputs:
    raise errors.UserError(
      f'Expected edges of the {cell.kind} cell to lead to nodes from '
      f'{cell.inputs} on, the first after its inputs, got {tuple(edge)}.'
    )
  if not 0 <= edge.source < edge.node:
    raise errors.UserError(
      f'Expected a source from 0 to {edge.node - 1} at node {edge.node} of the '
      f'{cell.kind} cell, got {edge.source}.'
    )
  return edge
