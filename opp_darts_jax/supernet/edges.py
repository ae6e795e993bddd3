"""Which edges of a cell run together, and which copies operations have there.

Axes: E edges, S sources, D destinations, N norms of an operation, C channels.
"""

import dataclasses
import functools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.genotypes.graph import CellGraph
from opp_darts_jax.operations.norm import initial_statistics
from opp_darts_jax.operations.operation import Operation
from opp_darts_jax.spaces.space import Space
from opp_darts_jax.supernet.partial import PartialChannels


class Phase(NamedTuple):
  """Edges of one stride that run in one loop.

  Attributes:
    stride: of all its edges.
    sources: source nodes in order.
    first: first of the intermediate nodes, counted from 0, that they feed.
    edges_SD: the edge from each source to each of these nodes, -1 for none.
  """

  stride: int
  sources: tuple[int, ...]
  first: int
  edges_SD: np.ndarray


def phases(graph: CellGraph, reduction: bool) -> tuple[Phase, ...]:
  """The loops of a cell: two in a reduction cell, for its two strides."""
  inputs, nodes = graph.inputs, graph.nodes
  index = {edge: i for i, edge in enumerate(graph.edges)}

  def phase(stride, sources, first):
    edges_SD = np.array(
      [
        [index.get((source, inputs + node), -1) for node in range(first, nodes)]
        for source in sources
      ]
    )
    return Phase(stride, tuple(sources), first, edges_SD)

  last = inputs + nodes - 1  # It feeds no other node.
  if not reduction:
    return (phase(1, range(last), 0),)
  inner = (phase(1, range(inputs, last), 1),) if nodes > 1 else ()
  return (phase(2, range(inputs), 0), *inner)


@dataclasses.dataclass(frozen=True)
class CellOperation:
  """An operation in a cell: which edges or sources have a copy of it.

  Attributes:
    operation: itself.
    column: of the tables.
    edges: the edges that may have it, ascending.
    phases: of the cell.
    channels: of the cell.
  """

  operation: Operation
  column: int
  edges: tuple[int, ...]
  phases: tuple[Phase, ...]
  channels: int

  @property
  def name(self) -> str:
    """Of the operation, and of its weights."""
    return self.operation.name

  def shared(self, phase: Phase) -> bool:
    """Whether all edges of a source get the same from it."""
    return self.operation.shared(phase.stride)

  def norms(self, phase: Phase) -> int:
    """How many normalisations a copy has."""
    return self.operation.norms(phase.stride)

  def present(self, phase: Phase) -> bool:
    """Whether an edge of the phase may have it."""
    return bool(np.isin(self.edges, phase.edges_SD).any())

  def slots(self, phase: Phase) -> np.ndarray:
    """The row of each copy in the stacks: (S,) if shared, else (S, D).

    An edge without a copy has -1.
    """
    if self.shared(phase) and not self.norms(phase):
      return np.full(len(phase.sources), -1)
    if self.shared(phase):
      sources = [s for p in self._stateful() for s in p.sources]
      return np.array([sources.index(source) for source in phase.sources])
    rows = {edge: row for row, edge in enumerate(self._own_edges())}
    return np.array(
      [[rows.get(edge, -1) for edge in edges] for edges in phase.edges_SD]
    )

  def init(self, key: jax.Array) -> Any:
    """Weights stacked over the edges that have a copy; {} if it has none."""
    edges = self._own_edges()
    if not edges:
      return {}
    stride = next(p.stride for p in self.phases if not self.shared(p))
    return self.operation.init(key, (len(edges),), self.channels, stride)

  def init_statistics(self) -> dict[str, jax.Array]:
    """Running averages (copies, N, C) of its N norms; {} if it has none."""
    stateful = self._stateful()
    if not stateful:
      return {}
    copies = max(self.slots(phase).max() + 1 for phase in stateful)
    return initial_statistics((copies, self.norms(stateful[0]), self.channels))

  def active(self, mask_EK: jax.Array) -> jax.Array:
    """Whether any edge of each row of `init_statistics` has it active."""
    stateful = self._stateful()
    copies = max(self.slots(phase).max() + 1 for phase in stateful)
    belongs = np.zeros((copies, len(mask_EK)), bool)
    for phase in stateful:
      slots = self.slots(phase)
      slots_SD = slots[:, None] if self.shared(phase) else slots
      own_SD = np.isin(phase.edges_SD, self.edges)
      rows_SD = np.broadcast_to(slots_SD, own_SD.shape)
      belongs[rows_SD[own_SD], phase.edges_SD[own_SD]] = True
    return jnp.any(belongs & mask_EK[:, self.column], axis=1)

  def collect(self, statistics: Sequence[tuple[np.ndarray, Any]]) -> Any:
    """Statistics (n, N, C) of some copies each, by row, as one stack.

    Rows of -1 belong to no copy. A row of which there are none, such as that of
    an edge whose stride has no norm, gets others', and is not `active`.
    """
    slots = np.concatenate([slots for slots, _ in statistics])
    order = np.zeros(slots.max() + 1, int)
    order[slots[slots >= 0]] = np.flatnonzero(slots >= 0)
    return jax.tree.map(
      lambda *batches: jnp.concatenate(batches)[order],
      *[batch for _, batch in statistics],
    )

  def _stateful(self) -> list[Phase]:
    return [p for p in self.phases if self.norms(p) and self.present(p)]

  def _own_edges(self) -> list[int]:
    own = [p.edges_SD for p in self.phases if not self.shared(p)]
    return [e for e in self.edges if any(e in edges for edges in own)]


@dataclasses.dataclass(frozen=True)
class CellEdges:
  """What the edges of a cell need to run.

  Attributes:
    graph: of the cell.
    phases: the edges by stride.
    operations: of the cell.
    params: {operation: weights stacked over its copies}, float32 at least.
    running: {operation: running averages stacked over its copies}.
    weights_EK: weight of each operation on each edge.
    mask_EK: whether it is active there.
    key: for operations that draw numbers.
    train: whether norms use the batch's statistics.
    partial: of the channels that operations see; None if they see all.
  """

  graph: CellGraph
  phases: tuple[Phase, ...]
  operations: tuple[CellOperation, ...]
  params: Any
  running: Any
  weights_EK: jax.Array
  mask_EK: jax.Array
  key: jax.Array | None
  train: bool
  partial: PartialChannels | None = None

  @property
  def nodes(self) -> int:
    """Intermediate nodes."""
    return self.graph.nodes

  @property
  def output(self) -> list[int]:
    """The intermediate nodes that the cell gives together, counted from 0."""
    return [node - self.graph.inputs for node in self.graph.output]

  def rounded(self, dtype: Any) -> 'CellEdges':
    """The same with weights of the type that the cell computes in."""
    params = jax.tree.map(lambda p: p.astype(dtype), self.params)
    return dataclasses.replace(self, params=params)

  def edge_weights(self, edges: np.ndarray) -> jax.Array:
    """The sum of the weights on each of the edges; 0 for an edge of -1."""
    return jnp.where(edges >= 0, self.weights_EK.sum(1)[edges], 0.0)

  def keys(self, edges: np.ndarray) -> jax.Array | None:
    """A key for each of the edges; None where no operation draws."""
    if self.key is None:
      return None
    return jax.vmap(functools.partial(jax.random.fold_in, self.key))(edges)


# {operation: (rows of copies in its stacks, their statistics (n, N, C))}.
Statistics = dict[str, list[tuple[np.ndarray, Any]]]


def cell_operations(
  space: Space, kind: str, channels: int, reduction: bool
) -> tuple[CellOperation, ...]:
  """The operations of a cell, but what carries nothing, in the space's order.

  Args:
    space: of the search.
    kind: of the cell.
    channels: of its nodes.
    reduction: whether it halves the resolution.
  """
  mask_EK = space.mask()[kind]
  return tuple(
    CellOperation(
      operation,
      column,
      tuple(np.flatnonzero(mask_EK[:, column]).tolist()),
      phases(space.graph, reduction),
      channels,
    )
    for column, operation in enumerate(space.operations)
    if operation.carries and mask_EK[:, column].any()
  )


def weigh(weights_SD: jax.Array, y_S: jax.Array) -> jax.Array:
  """The sums over sources of (S, ...), by weight, for each destination.

  In float32 whatever the precision of a run's products is: operations that an
  edge has for itself are weighted so.

  Args:
    weights_SD: of what leaves a source on its way to a destination.
    y_S: what leaves the sources, (S, B, H, W, C).

  Returns:
    (D, B, H, W, C).
  """
  return jnp.einsum('sd,s...->d...', weights_SD, y_S, precision='highest')


def take_copies(stacks: Any, rows: np.ndarray) -> Any:
  """These rows of every leaf of an operation's stacks."""
  return jax.tree.map(operator.itemgetter(rows), stacks)
