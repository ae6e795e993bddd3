"""Tests of the search spaces."""

import dataclasses

import numpy as np
import pytest

from opp_darts_jax import errors
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.genotypes.graph import CellGraph
from opp_darts_jax.operations.catalogue import OPERATIONS, named
from opp_darts_jax.spaces.catalogue import SPACES, get_space
from opp_darts_jax.spaces.darts import DARTS
from opp_darts_jax.spaces.space import Space

SEP3 = 'sep_conv_3x3'


def test_parametric_operations_are_the_convolutions():
  assert [name for name, o in OPERATIONS.items() if o.parametric] == [
    'sep_conv_3x3',
    'sep_conv_5x5',
    'sep_conv_7x7',
    'dil_conv_3x3',
    'dil_conv_5x5',
    'conv_7x1_1x7',
  ]


def test_published_spaces():
  assert {n: len(s.operations) for n, s in SPACES.items()} == {
    'darts': 8,
    'darts_without_none': 7,
    's1': 6,
    's2': 2,
    's3': 3,
    's4': 2,
    'nasbench201': 5,
  }
  assert get_space('s4').names == ('noise', SEP3)
  for name in ('darts', 's1', 's2', 's3', 's4'):
    assert SPACES[name].graph == CellGraph(2, 4)
    assert SPACES[name].kinds == ('normal', 'reduce')


def test_unknown_space_names_the_valid_ones():
  with pytest.raises(
    errors.UserError,
    match="space 's9'; valid are: darts, darts_without_none, s1, s2, s3, s4, "
    'nasbench201',
  ):
    get_space('s9')


def test_nodes_change_unless_every_edge_is_listed():
  darts = get_space('darts')
  assert get_space('darts', 4) == get_space('darts', 0) == darts
  assert get_space('darts', 2).graph == CellGraph(2, 2)
  for name, own in (('s1', 4), ('nasbench201', 3)):
    assert get_space(name, own) is SPACES[name]
    with pytest.raises(
      errors.UserError,
      match=f"Expected nodes={own}, which the cells of space '{name}'.* "
      'nodes=2',
    ):
      get_space(name, 2)


@pytest.mark.parametrize(
  ('name', 'layers', 'cells', 'said'),
  [
    ('darts', 1, (0, 1), 'layers=1 holds no normal cell, layers=3 does'),
    ('s2', 2, (0, 2), 'layers=2 holds no normal cell, layers=3 does'),
    ('s2', 3, (1, 2), ''),
    ('nasbench201', 1, (1,), ''),
  ],
)
def test_small_networks_may_lack_a_kind_of_cells(name, layers, cells, said):
  space = get_space(name)
  assert space.cells(layers, 4) == dict(zip(space.kinds, cells))
  assert space.lacking(layers, 4) == said


def test_of_a_plan_that_has_one_size_no_other_is_told():
  def plan(layers, channels, imagenet):
    if layers != 6:
      raise ValueError
    return DARTS.skeleton.plan(2, channels, imagenet)

  skeleton = DARTS.skeleton._replace(plan=plan)
  space = dataclasses.replace(DARTS, skeleton=skeleton)
  assert space.lacking(6, 4) == 'layers=6 holds no normal cell'
  assert space.lacking(6, 4, kinds=['reduce']) == ''


def test_s1_has_two_operations_an_edge():
  s1 = get_space('s1')
  listed = dict(s1.candidates)
  assert s1.names == tuple(
    o
    for o in get_space('darts').names
    if o in {o for rows in listed.values() for row in rows for o in row}
  )
  masks = s1.mask()
  for kind in ('normal', 'reduce'):
    assert masks[kind].shape == (14, 6)
    assert (masks[kind].sum(axis=1) == 2).all()
  # Uses of max, avg, skip, sep3, dil3, dil5, counted by hand.
  assert masks['normal'].sum(axis=0).tolist() == [2, 0, 12, 4, 6, 4]
  assert masks['reduce'].sum(axis=0).tolist() == [8, 6, 6, 1, 2, 5]


def test_mask_keeps_columns_of_inactive_operations():
  mask = get_space('s3', 2).mask([SEP3])['reduce']
  assert mask.dtype == bool
  np.testing.assert_array_equal(mask, [[False, False, True]] * 5)
  assert get_space('s3', 3).mask()['normal'].all()


def test_s1_mask_is_cut_to_the_active_operations():
  mask = get_space('s1').mask(['dil_conv_3x3'])['normal']
  edges = np.flatnonzero(mask.any(axis=1)).tolist()
  assert edges == [0, 4, 8, 11, 12, 13]


def test_mask_refuses_foreign_operations():
  with pytest.raises(
    errors.UserError,
    match="operation of space 's2' 'none'; valid are: skip_connect, sep_conv",
  ):
    get_space('s2').mask(['none'])


def test_reachable_on_whole_spaces():
  s3 = get_space('s3')
  assert s3.reachable(s3.mask([SEP3])['normal'])
  assert not s3.reachable(s3.mask(['none'])['normal'])


def test_reachable_wants_a_source_with_signal():
  mine = Space('mine', named('none', SEP3), CellGraph(2, 2))
  mask = np.zeros((5, 2), bool)
  mask[:, 0] = True
  mask[mine.graph.edge_index(2, 3), 1] = True
  assert not mine.reachable(mask)  # Node 3 hangs on a starved node 2.
  mask[mine.graph.edge_index(1, 2), 1] = True
  assert mine.reachable(mask)


def test_stage_0_of_s1_needs_several_operations():
  s1 = get_space('s1')
  assert not s1.reachable(s1.mask([SEP3])['normal'])
  both = s1.mask(['dil_conv_3x3', 'dil_conv_5x5'])
  assert s1.reachable(both['normal'])


def test_operations_are_the_own_ones_first_then_the_catalogues():
  own = OPERATIONS[SEP3]._replace(drawn='mine')
  mine = Space('mine', (own,))
  assert mine.operation(SEP3) is own
  assert mine.operation('noise') is OPERATIONS['noise']
  with pytest.raises(errors.UserError, match="space 'mine' 'conv_9x9'; valid"):
    mine.operation('conv_9x9')


def test_check_refuses_cells_of_other_spaces():
  darts, bench = (
    SPACES[name].derive(SPACES[name], weights(SPACES[name]))
    for name in ('darts', 'nasbench201')
  )
  with pytest.raises(
    errors.UserError, match="space 'darts', with the cells normal, reduce, got"
  ):
    SPACES['darts'].check(bench)
  with pytest.raises(errors.UserError, match='with the cells cell, got'):
    SPACES['nasbench201'].check(darts)
  one_input = Space('one', named(SEP3), CellGraph(1, 2))
  cells = one_input.derive(one_input, weights(one_input))
  with pytest.raises(errors.UserError, match='cells of 2 inputs, as space'):
    SPACES['darts'].check(cells)
  SPACES['darts'].check(Genotype(darts.cells[::-1]))


def weights(space):
  return {kind: m.astype(float) for kind, m in space.mask().items()}


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
    Space('mine', named(*operations))


def unnamed(name):
  """Operations of which one has no text as its name."""
  (operation,) = named(SEP3)
  return operation, operation._replace(name=name)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'operations': (SEP3,)}, r"of Operation, got \('sep_conv_3x3',"),
    ({'operations': SEP3}, "'mine' as a tuple of Operation, got 'sep_conv"),
    ({'operations': (named,)}, r'of Operation, got \(<function named'),
    ({'operations': None}, "operations of space 'mine' as a .*, got None"),
    ({'further': (SEP3,)}, "further of space 'mine' as"),
    ({'kinds': 'normal'}, "kinds of space 'mine' as a tuple of str, got 'norm"),
    ({'kinds': (1, 2)}, r'kinds of .*, got \(1, 2\)'),
    ({'kinds': ('normal', 'reduce', 'normal')}, 'Expected different kinds of'),
    ({'graph': None}, 'Expected a CellGraph as graph of .*, got None'),
    ({'skeleton': 3}, 'Expected a Skeleton as skeleton of'),
    ({'name': 3}, 'the name of a space as str, got int'),
    ({'derive': None}, 'a function as derive of space .mine., got None'),
    ({'to_text': 'x'}, "a function as to_text of .*, got 'x'"),
    ({'from_text': 'x'}, "a function as from_text of .*, got 'x'"),
    ({'truth': {}}, 'a function as truth of .*, got {}'),
    ({'operations': unnamed('')}, 'name of every operation .*, got '),
    ({'operations': unnamed(3)}, 'name of every operation .*, got 3'),
    ({'further': unnamed(None)}, 'name of every operation .*, got None'),
    ({'candidates': {'normal': (SEP3,) * 14}}, r'as \{kind: \(\(operation'),
  ],
)
def test_fields_of_another_type(fields, message):
  with pytest.raises(errors.UserError, match=message):
    Space(**{'name': 'mine', 'operations': named(SEP3), **fields})


def test_lists_are_as_good_as_tuples():
  space = Space('mine', list(named(SEP3)), CellGraph(output=[2, 3]),
                ['normal', 'reduce'])  # fmt: skip
  own = Space('mine', named(SEP3), CellGraph(output=(2, 3)))
  assert hash(space) == hash(own)
  assert space == own


def test_every_node_has_edges_into_it():
  graph = CellGraph(2, 2, edges=((0, 2), (1, 2)))
  with pytest.raises(
    errors.UserError, match="node of space 'mine', got none into node 3"
  ):
    Space('mine', named(SEP3), graph)


def test_custom_edge_lists_are_checked():
  edge, graph = (SEP3,), CellGraph(2, 2)

  def space(**lists):
    return Space('mine', named(SEP3), graph, candidates=tuple(lists.items()))

  with pytest.raises(
    errors.UserError, match='all 5 edges of a normal cell .* those of 2'
  ):
    space(normal=(edge,) * 2, reduce=(edge,) * 5)
  with pytest.raises(errors.UserError, match='of a reduce cell .* those of 3'):
    space(normal=(edge,) * 5, reduce=(edge,) * 3)
  with pytest.raises(errors.UserError, match="'mine' 'none'; valid are: sep"):
    space(normal=(edge,) * 5, reduce=(('none',),) * 5)
  with pytest.raises(errors.UserError, match="in 'mine' 'cell'; valid are: no"):
    space(cell=(edge,) * 5)
  with pytest.raises(errors.UserError, match='of a reduce cell .* into node 3'):
    space(reduce=((), edge, (), (), ()))
  assert space(normal=(edge,) * 5).mask()['reduce'].all()


def test_kinds_are_those_of_the_skeleton():
  with pytest.raises(errors.UserError, match='normal, reduce; got normal'):
    Space('one', named('sep_conv_3x3'), kinds=('normal',))


def test_candidates_may_be_a_dict():
  graph = CellGraph(nodes=1)
  rows = (('sep_conv_3x3',), ('skip_connect', 'sep_conv_3x3'))
  operations = named('skip_connect', 'sep_conv_3x3')
  by_dict = Space('own', operations, graph, candidates={'normal': rows})
  assert by_dict == Space(
    'own', operations, graph, candidates=(('normal', rows),)
  )
  assert by_dict.mask()['normal'].tolist() == [[False, True], [True, True]]
  assert hash(by_dict)
  with pytest.raises(errors.UserError, match='candidates of space .* as {kind'):
    Space('own', operations, graph, candidates=rows[1])
