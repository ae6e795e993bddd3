"""Tests of the graphs of cells."""

import numpy as np
import pytest

from opp_darts_jax import errors
from opp_darts_jax.genotypes.graph import CellGraph

# The cell of NAS-Bench-201.
BENCH = CellGraph(inputs=1, nodes=3, output=(3,))


def test_edges_go_node_by_node_with_ascending_sources():
  assert CellGraph(nodes=2).edges == ((0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
  assert [CellGraph(nodes=n).num_edges for n in (1, 2, 3, 4)] == [2, 5, 9, 14]
  assert BENCH.edges == ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))


def test_what_is_left_out_is_filled_in():
  assert CellGraph() == CellGraph(2, 4, (2, 3, 4, 5), CellGraph(2, 4).edges)
  assert CellGraph().output == (2, 3, 4, 5)
  assert list(BENCH.intermediate) == [1, 2, 3]
  assert BENCH.output == (3,)
  listed = CellGraph(output=[5], edges=[[0, 2], [1, 3]])
  assert hash(listed) == hash(CellGraph(output=(5,), edges=((0, 2), (1, 3))))


@pytest.mark.parametrize(
  'graph',
  [CellGraph(nodes=1), CellGraph(), BENCH, CellGraph(edges=((1, 2), (0, 5)))],
)
def test_edge_index_is_the_row_of_the_edge(graph):
  indices = [graph.edge_index(*edge) for edge in graph.edges]
  assert indices == list(range(graph.num_edges))
  rows = [row for node in graph.intermediate for row in graph.into(node)]
  assert rows == indices


@pytest.mark.parametrize('edge', [(0, 1), (2, 2), (-1, 3), (0, 6)])
def test_edge_index_refuses_what_is_no_edge(edge):
  with pytest.raises(errors.UserError, match='There is no edge from node'):
    CellGraph().edge_index(*edge)


def test_edge_index_names_the_sources():
  graph = CellGraph(edges=((0, 2), (0, 3), (2, 3)))
  with pytest.raises(
    errors.UserError,
    match=r'from node 1 to node 3; .* \(2 to 5\), to node 3 from 0, 2\.',
  ):
    graph.edge_index(1, 3)
  assert graph.into(3) == (1, 2)
  assert graph.into(5) == ()


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'nodes': 0}, 'at least 1 intermediate node, got 0'),
    ({'inputs': 0}, 'at least 1 input, got 0'),
    ({'nodes': '4'}, "intermediate node, got '4'"),
    ({'edges': ((0, 1),)}, r'node \(2 to 5\) from an earlier one, got \(0, 1'),
    ({'edges': ((3, 2),)}, r'from an earlier one, got \(3, 2\)'),
    ({'edges': ((0, 6),)}, r'from an earlier one, got \(0, 6\)'),
    ({'edges': ((0, 2), (0, 2))}, 'every edge once'),
    ({'edges': ((1, 2), (0, 2))}, 'ascending sources'),
    ({'edges': ((0, 3), (0, 2))}, 'node by node'),
    ({'nodes': True}, 'intermediate node, got True'),
    ({'edges': (0, 2)}, r'edges as .*, got edges=\(0, 2\) and output=\(\)'),
    ({'edges': ((0, 2, 3),)}, r'Expected edges as'),
    ({'edges': (('a', 2),)}, r"from an earlier one, got \('a', 2\)"),
    ({'edges': (([0], 2),)}, r'from an earlier one, got \(\[0\], 2\)'),
    ({'output': 2}, r'the output as \(node, ...\), got .* output=2'),
    ({'output': ([2],)}, r'got \(\[2\],\)'),
    ({'output': (1, 2)}, r'nodes \(2 to 5\), got \(1, 2\)'),
    ({'output': (6,)}, r'got \(6,\)'),
    ({'output': (2, 2)}, 'different intermediate nodes'),
  ],
)
def test_construction_is_checked(fields, message):
  with pytest.raises(errors.UserError, match=message):
    CellGraph(**fields)


def test_reachable_wants_a_source_with_signal():
  graph = CellGraph(nodes=2)
  carries = np.zeros(5, bool)
  carries[graph.edge_index(2, 3)] = True
  assert not graph.reachable(carries)  # Node 3 hangs on a starved node 2.
  carries[graph.edge_index(1, 2)] = True
  assert graph.reachable(carries)
  with pytest.raises(ValueError, match='zip'):
    graph.reachable(carries[:-1])


def test_reachable_with_one_input():
  assert BENCH.reachable(np.ones(6, bool))
  chain = np.array([True, False, True, False, False, True])
  assert BENCH.reachable(chain)
  assert not BENCH.reachable(chain & (np.arange(6) != 2))
