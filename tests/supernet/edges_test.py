"""Tests of which edges run together."""

import numpy as np
import pytest

from opp_darts_jax.genotypes.graph import CellGraph
from opp_darts_jax.supernet.edges import phases

GRAPHS = [
  *(CellGraph(2, nodes) for nodes in (1, 2, 3, 5)),
  CellGraph(1, 3, (3,)),
  CellGraph(3, 2),
  CellGraph(1, 3, (), ((0, 1), (1, 2), (0, 3))),
]


@pytest.mark.parametrize('graph', GRAPHS)
@pytest.mark.parametrize('reduction', [False, True])
def test_phases_hold_every_edge_once(graph, reduction):
  edges = np.concatenate(
    [phase.edges_SD.ravel() for phase in phases(graph, reduction)]
  )
  assert sorted(edges[edges >= 0]) == list(range(graph.num_edges))


@pytest.mark.parametrize('graph', GRAPHS)
@pytest.mark.parametrize('reduction', [False, True])
def test_edges_lie_by_source_and_destination(graph, reduction):
  for phase in phases(graph, reduction):
    for row, source in enumerate(phase.sources):
      for column, edge in enumerate(phase.edges_SD[row]):
        node = graph.inputs + phase.first + column
        if edge >= 0:
          assert graph.edges[edge] == (source, node)
        else:
          assert (source, node) not in graph.edges
      assert phase.stride == (2 if reduction and source < graph.inputs else 1)
