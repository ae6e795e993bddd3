"""The graph of a cell: its nodes, and the edges that a search chooses on.

Inputs have the numbers 0 to `inputs` - 1, intermediate nodes the numbers after
them. The order of the edges is the row order of every (E, K) table.

Axes: E edges of a cell.
"""

import dataclasses

import numpy as np

from opp_darts_jax import errors
from opp_darts_jax.genotypes.cell import whole


@dataclasses.dataclass(frozen=True)
class CellGraph:
  """The nodes of a cell and the edges between them.

  Attributes:
    inputs: how many inputs the cell has: the outputs of as many cells before.
    nodes: how many intermediate nodes; each is the sum of its edges.
    output: the intermediate nodes whose concatenation is the cell's output; of
      one alone, that node itself. () stands for all of them.
    edges: (source, node) pairs, node by node, sources ascending. () stands for
      an edge to every intermediate node from every earlier node.

  Raises:
    UserError: on what is no such graph.
  """

  inputs: int = 2
  nodes: int = 4
  output: tuple[int, ...] = ()
  edges: tuple[tuple[int, int], ...] = ()

  def __post_init__(self) -> None:
    for name, what in (('inputs', 'input'), ('nodes', 'intermediate node')):
      count = whole(getattr(self, name)) or 0
      if count < 1:
        raise errors.UserError(
          f'Expected a cell with at least 1 {what}, got '
          f'{getattr(self, name)!r}.'
        )
      object.__setattr__(self, name, count)
    try:
      edges = tuple((s, n) for s, n in self.edges)
      output = tuple(self.output)
    except (TypeError, ValueError) as error:
      raise errors.UserError(
        'Expected edges as ((source, node), ...) and the output as (node, '
        f'...), got edges={self.edges!r} and output={self.output!r}.'
      ) from error
    every = tuple((s, n) for n in self.intermediate for s in range(n))
    edges = edges or every
    output = output or tuple(self.intermediate)
    object.__setattr__(self, 'edges', edges)
    object.__setattr__(self, 'output', output)
    for edge in edges:
      if edge not in every:
        raise errors.UserError(
          f'Expected edges (source, node) that lead to an intermediate node '
          f'({self._span}) from an earlier one, got {edge}.'
        )
    if list(edges) != sorted(set(edges), key=every.index):
      raise errors.UserError(
        'Expected every edge once, node by node with ascending sources, got '
        f'{edges}.'
      )
    inside = all(node in self.intermediate for node in output)
    if not inside or len(set(output)) != len(output):
      raise errors.UserError(
        f'Expected an output of different intermediate nodes ({self._span}), '
        f'got {output}.'
      )

  @property
  def intermediate(self) -> range:
    """The numbers of the intermediate nodes."""
    return range(self.inputs, self.inputs + self.nodes)

  @property
  def _span(self) -> str:
    return f'{self.intermediate[0]} to {self.intermediate[-1]}'

  @property
  def num_edges(self) -> int:
    """How many edges there are."""
    return len(self.edges)

  def edge_index(self, source: int, node: int) -> int:
    """The row of the edge from `source` to `node`.

    Raises:
      UserError: if the cell has no such edge.
    """
    if (source, node) not in self.edges:
      sources = ', '.join(str(self.edges[row][0]) for row in self.into(node))
      raise errors.UserError(
        f'There is no edge from node {source} to node {node}; edges lead to an '
        f'intermediate node ({self._span})'
        + (f', to node {node} from {sources}.' if sources else '.')
      )
    return self.edges.index((source, node))

  def into(self, node: int) -> tuple[int, ...]:
    """The rows of the edges that feed a node."""
    return tuple(row for row, edge in enumerate(self.edges) if edge[1] == node)

  def reachable(self, carries_E: np.ndarray) -> bool:
    """Whether signal from the inputs gets to every intermediate node.

    Only an edge whose source has signal itself counts, so a node fed by nothing
    but starved nodes is starved.

    Args:
      carries_E: bool (E,), whether an edge passes signal on.
    """
    reached = set(range(self.inputs))
    # Sources precede their node in this order, so one pass settles it.
    for (source, node), carries in zip(self.edges, carries_E, strict=True):
      if carries and source in reached:
        reached.add(node)
    return len(reached) == self.inputs + self.nodes
