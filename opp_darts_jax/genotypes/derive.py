"""From weights to cells: which edges of a graph a search keeps.

Axes: E edges of a cell, K operations of the space.
"""

from collections.abc import Sequence

import numpy as np

from opp_darts_jax import errors
from opp_darts_jax.genotypes.cell import NONE, Cell, Edge
from opp_darts_jax.genotypes.graph import CellGraph

PLACES = 2  # Edges that a node keeps, where it keeps a part of them.


def strongest_edges(
  kind: str,
  weights_EK: np.ndarray,
  operations: Sequence[str],
  graph: CellGraph,
  allowed_K: np.ndarray | Sequence[bool] | None = None,
  per_node: int = PLACES,
) -> Cell:
  """The cell of the strongest edges (DARTS, section 2.4).

  On every edge the strongest allowed operation; for every node the edges whose
  strongest operation is largest, in descending order. Ties go to the first
  operation and the lower source.

  Only positive weights count, so an operation that an edge does not have is
  never chosen. Midway through a search on a space with edge lists, edges may
  still be without any operation: a node with fewer usable edges than places
  takes them again, the strongest first, and a node with none gets `none` on its
  first edges, the nothing that it computes in the supernet.

  Args:
    kind: of the cell.
    weights_EK: (E, K) softmax weights, zero or less where an edge does not have
      the operation.
    operations: the K operations, in column order.
    graph: of the cell.
    allowed_K: bool (K,), the operations that may be chosen; None means all but
      `none`.
    per_node: how many edges a node gets; all, if the graph has no more for it.

  Raises:
    UserError: if the weights are not (E, K) or hold NaN, `allowed_K` is not
      (K,), or there is not at least one edge a node.
  """
  _check_weights(kind, weights_EK, operations, graph)
  if allowed_K is None:
    allowed_K = [operation != NONE for operation in operations]
  if np.shape(allowed_K) != (len(operations),):
    raise errors.UserError(
      f'Expected whether each of {len(operations)} operations is allowed, got '
      f'an array of shape {np.shape(allowed_K)}.'
    )
  if per_node < 1:
    raise errors.UserError(f'Expected at least 1 edge a node, got {per_node}.')
  strength_EK = np.where(allowed_K, weights_EK, -np.inf)
  strength_E = strength_EK.max(axis=1)
  best_E = strength_EK.argmax(axis=1)

  cell: list[Edge] = []
  for node in graph.intermediate:
    rows = graph.into(node)
    places = min(per_node, len(rows))
    ranked = sorted((-strength_E[r], r) for r in rows if strength_E[r] > 0)
    if not ranked:
      cell += [Edge(NONE, *graph.edges[row]) for row in rows[:places]]
    # Several times over, so that a lone usable edge fills all places.
    for _, row in (ranked * places)[:places]:
      cell.append(Edge(operations[best_E[row]], *graph.edges[row]))
  return Cell(kind, graph.inputs, tuple(cell), graph.output)


def every_edge(
  kind: str,
  weights_EK: np.ndarray,
  operations: Sequence[str],
  graph: CellGraph,
) -> Cell:
  """The cell of all edges, each with its strongest operation.

  `none` is an operation like any other (NAS-Bench-201); an edge without a
  positive weight, which has no operation yet, gets it too. Ties go to the first
  operation.

  Args:
    kind: of the cell.
    weights_EK: (E, K), zero or less where an edge does not have the operation.
    operations: the K operations, in column order.
    graph: of the cell, in whose order the edges are.

  Raises:
    UserError: if the weights are not (E, K) or hold NaN.
  """
  _check_weights(kind, weights_EK, operations, graph)
  cell = []
  for edge, weights_K in zip(graph.edges, np.asarray(weights_EK)):
    best = weights_K.argmax()
    name = operations[best] if weights_K[best] > 0 else NONE
    cell.append(Edge(name, *edge))
  return Cell(kind, graph.inputs, tuple(cell), graph.output)


def _check_weights(
  kind: str,
  weights_EK: np.ndarray,
  operations: Sequence[str],
  graph: CellGraph,
) -> None:
  expected = (graph.num_edges, len(operations))
  if np.shape(weights_EK) != expected:
    raise errors.UserError(
      f'Expected weights of shape (edges, operations) = {expected} for the '
      f'{kind} cell, got {np.shape(weights_EK)}.'
    )
  if np.isnan(weights_EK).any():
    raise errors.UserError(
      'Expected weights that are numbers, got NaN: the search has diverged.'
    )
