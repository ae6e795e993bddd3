"""Search spaces: the candidate operations and the edges that may have them.

A cell has two input nodes, 0 and 1, and intermediate nodes 2, 3, ...; every
intermediate node has an edge from every earlier node. Edges are ordered node by
node, sources ascending; this order is the row order of every (E, K) table, and
`SearchSpace.operations` is its column order.

Axes: E edges of a cell, K operations of the space.
"""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from opp_darts_jax import errors

NONE = 'none'
SKIP = 'skip_connect'

# Every operation that a space or a genotype may name.
OPERATIONS = (
  NONE,
  'max_pool_3x3',
  'avg_pool_3x3',
  SKIP,
  'sep_conv_3x3',
  'sep_conv_5x5',
  'sep_conv_7x7',
  'dil_conv_3x3',
  'dil_conv_5x5',
  'conv_7x1_1x7',
  'noise',
)


def parametric(operation: str) -> bool:
  """Whether an operation is one of the convolutions.

  At stride 2 a skip connection has weights too, but as an operation it stands
  for the identity and counts as free of parameters.
  """
  return operation.startswith(('sep_conv', 'dil_conv', 'conv_'))


def edges(nodes: int) -> tuple[tuple[int, int], ...]:
  """The (source, node) pairs of a cell with `nodes` intermediate nodes.

  Raises:
    UserError: without at least one intermediate node.
  """
  if nodes < 1:
    raise errors.UserError(
      f'Expected a cell with at least 1 intermediate node, got {nodes}.'
    )
  return tuple(
    (source, node) for node in range(2, nodes + 2) for source in range(node)
  )


def num_edges(nodes: int) -> int:
  """How many edges `edges(nodes)` has: 2 + 3 + ... + (nodes + 1)."""
  return len(edges(nodes))


def edge_index(source: int, node: int) -> int:
  """The row of the edge from `source` to intermediate node `node` (2, 3, ...).

  Raises:
    UserError: if a cell has no such edge.
  """
  if node < 2 or not 0 <= source < node:
    raise errors.UserError(
      f'There is no edge from node {source} to node {node}; edges lead to an '
      'intermediate node (2, 3, ...) from any earlier node (0, 1, ...).'
    )
  # The nodes before this one own 2 + 3 + ... + (node - 1) edges.
  return node * (node - 1) // 2 - 1 + source


@dataclasses.dataclass(frozen=True)
class SearchSpace:
  """The operations a search chooses from.

  Attributes:
    name: what the space is called.
    operations: the candidates, in the column order of the alphas.
    normal: for every edge of a normal cell, in order, the operations it may
      have; empty when every edge may have all of them.
    reduce: the same for reduction cells.

  Raises:
    UserError: on an operation that is unknown, given twice, or listed for an
      edge but not a candidate; on no parametric operation; on edge lists that
      are not as long as a cell has edges.
  """

  name: str
  operations: tuple[str, ...]
  normal: tuple[tuple[str, ...], ...] = ()
  reduce: tuple[tuple[str, ...], ...] = ()

  def __post_init__(self) -> None:
    for operation in self.operations:
      errors.check_choice('operation', operation, OPERATIONS)
      if self.operations.count(operation) > 1:
        raise errors.UserError(
          f'Expected every operation of space {self.name!r} once, but '
          f'{operation!r} is given {self.operations.count(operation)} times.'
        )
    if not any(map(parametric, self.operations)):
      valid = ', '.join(filter(parametric, OPERATIONS))
      raise errors.UserError(
        f'Expected at least one parametric operation in space {self.name!r}, '
        f'got {self.operations}; parametric are: {valid}.'
      )
    unfilled = bool(self.normal) and self.nodes is None
    if unfilled or len(self.normal) != len(self.reduce):
      raise errors.UserError(
        f'Expected operations for all edges of both cells of space '
        f'{self.name!r} (2, 5, 9, 14, ... edges), got {len(self.normal)} '
        f'normal edges and {len(self.reduce)} reduction edges.'
      )
    for edge in self.normal + self.reduce:
      for operation in edge:
        errors.check_choice(
          f'operation of space {self.name!r}', operation, self.operations
        )

  @property
  def nodes(self) -> int | None:
    """The intermediate nodes its edge lists are for; None without lists."""
    sizes = range(1, len(self.normal))
    return next((n for n in sizes if num_edges(n) == len(self.normal)), None)

  def mask(
    self, nodes: int, operations: Iterable[str] | None = None
  ) -> dict[str, np.ndarray]:
    """Which operation each edge may have.

    Args:
      nodes: intermediate nodes of a cell.
      operations: the active operations; None means all.

    Returns:
      {'normal': bool (E, K), 'reduce': bool (E, K)}, where K counts all the
      operations of the space: the columns of inactive ones are False.

    Raises:
      UserError: on operations that the space does not have, or `nodes` other
        than those its edge lists are for.
    """
    active = self.operations if operations is None else tuple(operations)
    for operation in active:
      errors.check_choice(
        f'operation of space {self.name!r}', operation, self.operations
      )
    if self.nodes not in (None, nodes):
      raise errors.UserError(
        f'Expected nodes={self.nodes}, for which space {self.name!r} lists the '
        f'operations of every edge, got nodes={nodes}.'
      )

    def table(cell: tuple[tuple[str, ...], ...]) -> np.ndarray:
      rows = cell or (self.operations,) * num_edges(nodes)
      return np.array(
        [[o in row and o in active for o in self.operations] for row in rows]
      )

    return {'normal': table(self.normal), 'reduce': table(self.reduce)}

  def reachable(self, mask_EK: np.ndarray, nodes: int) -> bool:
    """Whether signal from the inputs gets to every intermediate node.

    Every operation but `none` passes signal on. Only an edge whose source has
    signal itself counts, so a node fed by nothing but starved nodes is starved.

    Args:
      mask_EK: bool (E, K), the operations each edge has; one cell of `mask`.
      nodes: intermediate nodes of the cell.
    """
    carries_K = np.array([o != NONE for o in self.operations])
    carries_E = (mask_EK & carries_K).any(axis=1)
    reached = {0, 1}
    # Sources precede their node in this order, so one pass settles it.
    for (source, node), carries in zip(edges(nodes), carries_E, strict=True):
      if carries and source in reached:
        reached.add(node)
    return len(reached) == nodes + 2


def get_space(name: str) -> SearchSpace:
  """The published space of that name; `UserError` names them all."""
  errors.check_choice('search space', name, SPACES)
  return SPACES[name]


_MAX = 'max_pool_3x3'
_AVG = 'avg_pool_3x3'
_SEP3 = 'sep_conv_3x3'
_DIL3 = 'dil_conv_3x3'
_DIL5 = 'dil_conv_5x5'

# `darts`: Liu et al., "DARTS: Differentiable Architecture Search", ICLR 2019.
# `s1` to `s4`: Zela et al., "Understanding and Robustifying Differentiable
# Architecture Search", ICLR 2020; small spaces on which plain DARTS collapses.
# A line of edges in `s1` is one node, the last of which takes two lines.
# fmt: off
SPACES: Mapping[str, SearchSpace] = {
  space.name: space
  for space in (
    SearchSpace(
      name='darts',
      operations=(
        NONE, _MAX, _AVG, SKIP, _SEP3, 'sep_conv_5x5', _DIL3, _DIL5
      ),
    ),
    SearchSpace(
      name='s1',
      operations=(_MAX, _AVG, SKIP, _SEP3, _DIL3, _DIL5),
      normal=(
        (SKIP, _DIL3), (SKIP, _DIL5),
        (SKIP, _DIL5), (SKIP, _SEP3), (SKIP, _DIL3),
        (_MAX, SKIP), (SKIP, _SEP3), (SKIP, _SEP3), (SKIP, _DIL3),
        (SKIP, _SEP3), (_MAX, SKIP), (SKIP, _DIL3), (_DIL3, _DIL5),
        (_DIL3, _DIL5),
      ),
      reduce=(
        (_MAX, _AVG), (_MAX, _DIL3),
        (_MAX, _AVG), (_MAX, _AVG), (SKIP, _DIL5),
        (_MAX, _AVG), (_MAX, _SEP3), (SKIP, _DIL3), (SKIP, _DIL5),
        (_MAX, _AVG), (_MAX, _AVG), (SKIP, _DIL5), (SKIP, _DIL5),
        (SKIP, _DIL5),
      ),
    ),
    SearchSpace(name='s2', operations=(SKIP, _SEP3)),
    SearchSpace(name='s3', operations=(NONE, SKIP, _SEP3)),
    SearchSpace(name='s4', operations=('noise', _SEP3)),
  )
}
# fmt: on
