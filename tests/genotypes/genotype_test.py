"""Tests of cells and genotypes, and of their JSON."""

import json

import pytest
from genotype_cells import BENCH, SEP3, SKIP, TINY, UNEVEN

from opp_darts_jax import errors
from opp_darts_jax.genotypes.darts_form import is_darts_form
from opp_darts_jax.genotypes.genotype import Cell, Edge, Genotype
from opp_darts_jax.genotypes.published import GENOTYPES


def test_counts():
  darts = GENOTYPES['DARTS_V1']
  assert [darts['normal'].nodes, GENOTYPES['NASNet']['reduce'].nodes] == [4, 5]
  assert darts.count(SEP3) == darts.count(SEP3, 'normal') == 5
  assert darts.num_skips('normal') == darts.num_skips('reduce') == 3
  assert darts.num_skips() == 6
  assert darts.count('max_pool_3x3', 'reduce') == 4
  assert darts.count('max_pool_3x3', 'normal') == 0
  assert darts.count('skip') == 0
  with pytest.raises(
    errors.UserError,
    match="Unknown kind of cell 'reduction'; valid are: normal, reduce",
  ):
    darts.num_skips('reduction')


def test_counts_of_other_cells():
  assert BENCH.kinds == ('cell',)
  assert BENCH.operations == ('nor_conv_3x3', SKIP, 'none', 'avg_pool_3x3')
  assert BENCH.num_skips() == 2
  assert UNEVEN.operations == (SEP3, SKIP, 'my own')
  assert UNEVEN.count(SEP3) == 3
  assert UNEVEN.count(SEP3, 'reduce') == 0


def test_cells_by_kind():
  assert TINY['reduce'].edges == (('max_pool_3x3', 1, 2), (SEP3, 0, 2))
  with pytest.raises(errors.UserError, match="cell 'normal'; valid are: cell"):
    BENCH['normal']


def test_nodes_of_a_cell():
  cell = BENCH['cell']
  assert cell.nodes == 3
  assert [edge.source for edge in cell.into(3)] == [0, 1, 2]
  uneven = UNEVEN['normal']
  assert uneven.nodes == 4
  assert [len(uneven.into(node)) for node in range(2, 6)] == [2, 1, 0, 3]
  assert UNEVEN['reduce'].nodes == 1
  assert Cell('a', 1, (Edge(SEP3, 0, 4),), (2,)).nodes == 4


@pytest.mark.parametrize('genotype', [*GENOTYPES.values(), TINY, BENCH, UNEVEN])
def test_round_trips(genotype):
  found = Genotype.from_json(genotype.to_json())
  assert found == genotype
  assert hash(found) == hash(genotype)
  assert found.kinds == genotype.kinds
  assert Genotype.from_dict(genotype.to_dict()) == genotype


def test_json_in_the_form_of_darts():
  assert json.loads(TINY.to_json()) == {
    'normal': [[SEP3, 0], [SKIP, 1]],
    'normal_concat': [2],
    'reduce': [['max_pool_3x3', 1], [SEP3, 0]],
    'reduce_concat': [2],
  }


def test_json_of_other_cells():
  assert list(UNEVEN.to_dict()) == ['cells']
  assert json.loads(BENCH.to_json()) == {
    'cells': {
      'cell': {
        'inputs': 1,
        'edges': [
          ['nor_conv_3x3', 0, 1],
          [SKIP, 0, 2],
          ['none', 1, 2],
          [SKIP, 0, 3],
          ['avg_pool_3x3', 1, 3],
          ['nor_conv_3x3', 2, 3],
        ],
        'output': [3],
      }
    }
  }


def test_both_json_forms_say_the_same():
  cells = {
    'normal': {
      'inputs': 2,
      'edges': [[SEP3, 0, 2], (SKIP, 1, 2)],
      'output': range(2, 3),
    },
    'reduce': {
      'inputs': 2,
      'edges': [['max_pool_3x3', 1, 2], [SEP3, 0, 2]],
      'output': [2],
    },
  }
  assert Genotype.from_dict({'cells': cells}) == TINY
  # Kinds the other way round are another genotype, which pairs cannot tell.
  turned = Genotype.from_dict({'cells': dict(reversed(cells.items()))})
  assert turned.kinds == ('reduce', 'normal')
  assert not is_darts_form(turned)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ([], r'fields normal, normal_concat, reduce, reduce_concat, .* got \[\]'),
    ({'normal': []}, r"with the fields .* got \['normal'\]"),
    ({'cells': []}, r"with the fields .* got \['cells'\]"),
    ({**TINY.to_dict(), 'normal_concat': 2}, 'list as normal_concat .* got 2'),
    ({**TINY.to_dict(), 'normal': [1, 2]}, 'pair at node 2 .* got 1'),
    ({**TINY.to_dict(), 'normal_concat': [[2]]}, r'got \[\[2\]\]'),
    ({'cells': {}}, r'one or more cells as a genotype, got \(\)'),
    ({'cells': {'a': 1}}, 'a cell .* fields inputs, edges, output, got 1'),
    ({'cells': {'a': {'inputs': 1}}}, r"output, got \['inputs'\]"),
    (
      {'cells': {'a': {'inputs': 1, 'edges': 3, 'output': [1]}}},
      'list as edges of the a cell, got 3',
    ),
    (
      {'cells': {'a': {'inputs': 1, 'edges': [3], 'output': [1]}}},
      r'\(operation, source, node\) as an edge of the a cell, got 3',
    ),
    (
      {'cells': {'a': {'inputs': '1', 'edges': [], 'output': [1]}}},
      "a cell to have at least 1 input, got '1'",
    ),
  ],
)
def test_from_dict_is_checked(fields, message):
  with pytest.raises(errors.UserError, match=message):
    Genotype.from_dict(fields)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'kind': ''}, 'Expected a name as the kind'),
    ({'inputs': 0}, 'normal cell to have at least 1 input, got 0'),
    ({'edges': []}, 'Expected tuples as edges and output .* list and tuple'),
    ({'edges': ((SEP3, 0),)}, 'as an edge of the normal cell, got .*3x3'),
    ({'edges': ((3, 0, 2),)}, r'as an edge .* got \(3, 0, 2\)'),
    ({'edges': ((SEP3, 0, 1),)}, 'lead to nodes from 2 on, .*3x3., 0, 1'),
    ({'edges': ((SEP3, 3, 3),)}, 'from 0 to 2 at node 3 .* got 3'),
    ({'edges': ((SEP3, -1, 3),)}, 'from 0 to 2 .* normal cell, got -1'),
    ({'output': ()}, r'different nodes from 2 on, got \[\]'),
    ({'output': (1, 2)}, r'different nodes from 2 on, got \[1, 2\]'),
    ({'output': (2, 2)}, 'different nodes'),
    ({'output': ('2',)}, 'different nodes'),
  ],
)
def test_construction_of_cells_is_checked(changes, message):
  fields = {'kind': 'normal', 'inputs': 2, 'edges': (), 'output': (2,)}
  assert Cell(**fields).edges == ()
  with pytest.raises(errors.UserError, match=message):
    Cell(**fields | changes)


def test_construction_of_genotypes_is_checked():
  cell = BENCH['cell']
  with pytest.raises(errors.UserError, match='one or more cells'):
    Genotype([cell])
  with pytest.raises(errors.UserError, match=r"different kinds .*'cell', 'cel"):
    Genotype((cell, cell))
