"""Tests of how cells are derived from weights."""

import numpy as np
import pytest

from opp_darts_jax import errors
from opp_darts_jax.genotypes import derive, graph

SEP3 = 'sep_conv_3x3'
SKIP = 'skip_connect'
OPERATIONS = ('none', SKIP, SEP3)
BENCH = graph.CellGraph(inputs=1, nodes=3, output=(3,))


def strongest(weights, operations=OPERATIONS, nodes=2, **kwargs):
  """The (operation, source) pairs of a cell with two inputs."""
  two = graph.CellGraph(nodes=nodes)
  weights = np.array(weights, np.float32)
  cell = derive.strongest_edges('normal', weights, operations, two, **kwargs)
  return [(edge.operation, edge.source) for edge in cell.edges]


WEIGHTS = [
  [0.7, 0.2, 0.1],
  [0.1, 0.4, 0.5],
  [0.9, 0.06, 0.04],
  [0.5, 0.1, 0.4],
  [0.2, 0.5, 0.3],
]


def test_the_two_strongest_edges_in_order():
  two = graph.CellGraph(nodes=2)
  found = derive.strongest_edges('reduce', np.array(WEIGHTS), OPERATIONS, two)
  assert found.edges == (
    (SEP3, 1, 2),
    (SKIP, 0, 2),
    (SKIP, 2, 3),
    (SEP3, 1, 3),
  )
  assert (found.kind, found.inputs, found.output) == ('reduce', 2, (2, 3))


def test_ties_go_to_the_first():
  found = strongest(np.full((5, 3), 1 / 3), ('none', SEP3, SKIP))
  assert found == [(SEP3, 0), (SEP3, 1)] * 2


def test_an_operation_without_weight_is_never_taken():
  found = strongest(
    [[1, 0, 0], [0.9, 0, 0.1], [1, 0, 0], [0.8, 0.2, 0], [0.7, 0.0, 0.3]]
  )
  # Node 2 has one usable edge and takes it twice.
  assert found == [(SEP3, 1), (SEP3, 1), (SEP3, 2), (SKIP, 1)]
  found = strongest([[1, 0, 0], [1, -1, -1]], nodes=1)
  assert found == [('none', 0), ('none', 1)]


def test_allowed_operations():
  found = strongest(WEIGHTS, allowed_K=[False, True, False])
  assert found == [(SKIP, 1), (SKIP, 0), (SKIP, 2), (SKIP, 1)]
  found = strongest(WEIGHTS, allowed_K=np.array([True, True, True]))
  assert found == [('none', 0), (SEP3, 1), ('none', 0), ('none', 1)]
  found = strongest(WEIGHTS, allowed_K=[False] * 3)
  assert found == [('none', 0), ('none', 1)] * 2
  with pytest.raises(errors.UserError, match=r'3 operations .* shape \(2,\)'):
    strongest(WEIGHTS, allowed_K=[True, True])


def test_other_numbers_of_edges_a_node():
  assert strongest(WEIGHTS, per_node=1) == [(SEP3, 1), (SKIP, 2)]
  found = strongest(WEIGHTS, per_node=3)
  assert found[:2] == [(SEP3, 1), (SKIP, 0)]  # The graph has no third.
  assert found[2:] == [(SKIP, 2), (SEP3, 1), (SKIP, 0)]
  with pytest.raises(errors.UserError, match='at least 1 edge a node, got 0'):
    strongest(WEIGHTS, per_node=0)


def test_strongest_edges_of_one_input():
  weights = np.array(
    [[0.1, 0.9], [0.2, 0.3], [0.6, 0.4], [0.3, 0.1], [0.2, 0.1], [0.1, 0.5]]
  )
  found = derive.strongest_edges('cell', weights, (SKIP, SEP3), BENCH)
  assert found.edges == (
    (SEP3, 0, 1),  # its only edge, once
    (SKIP, 1, 2),
    (SEP3, 0, 2),
    (SEP3, 2, 3),
    (SKIP, 0, 3),
  )
  assert (found.inputs, found.output, found.nodes) == (1, (3,), 3)


def test_strongest_edges_of_an_uneven_graph():
  uneven = graph.CellGraph(nodes=3, edges=((1, 2), (0, 4), (2, 4), (3, 4)))
  weights = np.array([[0.0], [0.2], [0.3], [0.4]])
  found = derive.strongest_edges('normal', weights, (SEP3,), uneven)
  assert found.edges == (('none', 1, 2), (SEP3, 3, 4), (SEP3, 2, 4))
  assert found.into(3) == ()


def test_every_edge():
  weights = np.array(
    [
      [0.5, 0.3, 0.2],
      [0.2, 0.3, 0.5],
      [0.2, 0.4, 0.4],
      [0.4, 0.4, 0.2],
      [0.0, 0.0, 0.1],
      [0.0, -1.0, 0.0],
    ]
  )
  found = derive.every_edge('cell', weights, (SKIP, SEP3, 'none'), BENCH)
  assert found.edges == (
    (SKIP, 0, 1),
    ('none', 0, 2),
    (SEP3, 1, 2),
    (SKIP, 0, 3),
    ('none', 1, 3),
    ('none', 2, 3),  # has no operation yet
  )
  assert (found.kind, found.inputs, found.output) == ('cell', 1, (3,))


@pytest.mark.parametrize('rule', [derive.strongest_edges, derive.every_edge])
def test_wrong_weights_are_refused(rule):
  one = graph.CellGraph(nodes=1)
  with pytest.raises(errors.UserError, match=r'= \(2, 1\) .* got \(5, 1\)'):
    rule('normal', np.ones((5, 1)), (SEP3,), one)
  with pytest.raises(
    errors.UserError, match='got NaN: the search has diverged'
  ):
    rule('normal', np.array([[np.nan], [1]]), (SEP3,), one)
