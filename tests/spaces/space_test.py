"""Tests of the search spaces."""

import numpy as np
import pytest

from opp_darts_jax import errors
from opp_darts_jax.genotypes import space

SEP3 = 'sep_conv_3x3'


def test_edges_go_node_by_node_with_ascending_sources():
  assert space.edges(2) == ((0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
  assert [space.num_edges(n) for n in (1, 2, 3, 4)] == [2, 5, 9, 14]


@pytest.mark.parametrize('nodes', [1, 2, 4])
def test_edge_index_is_the_row_of_the_edge(nodes):
  indices = [space.edge_index(*edge) for edge in space.edges(nodes)]
  assert indices == list(range(space.num_edges(nodes)))


@pytest.mark.parametrize('edge', [(0, 1), (2, 2), (-1, 3)])
def test_edge_index_refuses_what_is_no_edge(edge):
  with pytest.raises(errors.UserError, match='There is no edge from node'):
    space.edge_index(*edge)


def test_a_cell_needs_a_node():
  with pytest.raises(errors.UserError, match='at least 1 .* got 0'):
    space.edges(0)


def test_parametric_operations_are_the_convolutions():
  assert list(filter(space.parametric, space.OPERATIONS)) == [
    'sep_conv_3x3',
    'sep_conv_5x5',
    'sep_conv_7x7',
    'dil_conv_3x3',
    'dil_conv_5x5',
    'conv_7x1_1x7',
  ]


def test_published_spaces():
  assert {n: len(s.operations) for n, s in space.SPACES.items()} == {
    'darts': 8,
    's1': 6,
    's2': 2,
    's3': 3,
    's4': 2,
  }
  assert space.get_space('s4').operations == ('noise', SEP3)
  assert space.get_space('darts').nodes is None
  assert space.get_space('s1').nodes == 4


def test_unknown_space_names_the_valid_ones():
  with pytest.raises(
    errors.UserError, match="space 's9'; valid are: darts, s1, s2, s3, s4"
  ):
    space.get_space('s9')


def test_s1_has_two_operations_an_edge():
  s1 = space.get_space('s1')
  darts = space.get_space('darts').operations
  assert s1.operations == tuple(
    o for o in darts if o in {o for edge in s1.normal + s1.reduce for o in edge}
  )
  masks = s1.mask(4)
  for cell in ('normal', 'reduce'):
    assert masks[cell].shape == (14, 6)
    assert (masks[cell].sum(axis=1) == 2).all()
  # Uses of max, avg, skip, sep3, dil3, dil5, counted by hand.
  assert masks['normal'].sum(axis=0).tolist() == [2, 0, 12, 4, 6, 4]
  assert masks['reduce'].sum(axis=0).tolist() == [8, 6, 6, 1, 2, 5]


def test_mask_keeps_columns_of_inactive_operations():
  mask = space.get_space('s3').mask(2, [SEP3])['reduce']
  assert mask.dtype == bool
  np.testing.assert_array_equal(mask, [[False, False, True]] * 5)
  assert space.get_space('s3').mask(3)['normal'].all()


def test_s1_mask_is_cut_to_the_active_operations():
  mask = space.get_space('s1').mask(4, ['dil_conv_3x3'])['normal']
  edges = np.flatnonzero(mask.any(axis=1)).tolist()
  assert edges == [0, 4, 8, 11, 12, 13]


def test_mask_refuses_another_cell_size_and_foreign_operations():
  with pytest.raises(
    errors.UserError, match="Expected nodes=4, for which space 's1'.* nodes=3"
  ):
    space.get_space('s1').mask(3)
  with pytest.raises(
    errors.UserError,
    match="operation of space 's2' 'none'; valid are: skip_connect, sep_conv",
  ):
    space.get_space('s2').mask(4, ['none'])


def test_reachable_on_whole_spaces():
  for name, one in space.SPACES.items():
    assert all(one.reachable(m, 4) for m in one.mask(4).values()), name
  s3 = space.get_space('s3')
  assert s3.reachable(s3.mask(4, [SEP3])['normal'], 4)
  assert not s3.reachable(s3.mask(4, ['none'])['normal'], 4)


def test_reachable_wants_a_source_with_signal():
  mine = space.SearchSpace('mine', (space.NONE, SEP3))
  mask = np.zeros((5, 2), bool)
  mask[:, 0] = True
  mask[space.edge_index(2, 3), 1] = True
  assert not mine.reachable(mask, 2)  # Node 3 hangs on a starved node 2.
  mask[space.edge_index(1, 2), 1] = True
  assert mine.reachable(mask, 2)


def test_stage_0_of_s1_needs_several_operations():
  s1 = space.get_space('s1')
  assert not s1.reachable(s1.mask(4, [SEP3])['normal'], 4)
  both = s1.mask(4, ['dil_conv_3x3', 'dil_conv_5x5'])
  assert s1.reachable(both['normal'], 4)


@pytest.mark.parametrize(
  ('operations', 'message'),
  [
    (
      ('none', 'conv_9x9'),
      "Unknown operation 'conv_9x9'; valid are: none, max",
    ),
    ((SEP3, 'none', SEP3), "once, but 'sep_conv_3x3' is given 2 times"),
    (('none', 'skip_connect'), 'at least one parametric operation .* sep_conv'),
    ((), 'at least one parametric operation'),
  ],
)
def test_custom_space_is_checked(operations, message):
  with pytest.raises(errors.UserError, match=message):
    space.SearchSpace('mine', operations)


def test_custom_edge_lists_are_checked():
  edge = (SEP3,)
  with pytest.raises(errors.UserError, match='got 2 normal .* 5 reduction'):
    space.SearchSpace('mine', edge, (edge,) * 2, (edge,) * 5)
  with pytest.raises(errors.UserError, match='got 3 normal .* 3 reduction'):
    space.SearchSpace('mine', edge, (edge,) * 3, (edge,) * 3)
  with pytest.raises(errors.UserError, match="'mine' 'none'; valid are: sep"):
    space.SearchSpace('mine', edge, (edge,) * 2, (('none',),) * 2)
  assert space.SearchSpace('mine', edge, (edge,) * 5, (edge,) * 5).nodes == 2
