"""Tests of genotypes, their texts and their derivation."""

import dataclasses

import numpy as np
import pytest

from opp_darts_jax import errors
from opp_darts_jax.genotypes import genotype, space
from opp_darts_jax.genotypes.published import GENOTYPES

SEP3 = 'sep_conv_3x3'
SKIP = 'skip_connect'
TINY = genotype.Genotype(
  normal=((SEP3, 0), (SKIP, 1)),
  normal_concat=(2,),
  reduce=(('max_pool_3x3', 1), (SEP3, 0)),
  reduce_concat=(2,),
)
TINY_TEXT = (
  "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1)], "
  'normal_concat=range(2, 3), '
  "reduce=[('max_pool_3x3', 1), ('sep_conv_3x3', 0)], "
  'reduce_concat=range(2, 3))'
)


def tiny(**changes):
  return dataclasses.replace(TINY, **changes)


def test_counts():
  darts = GENOTYPES['DARTS_V1']
  assert (darts.nodes, GENOTYPES['NASNet'].nodes) == (4, 5)
  assert darts.count(SEP3) == 5
  assert darts.num_skips() == 3
  assert darts.num_skips('reduce') == 3
  assert darts.count('max_pool_3x3', 'reduce') == 4
  with pytest.raises(errors.UserError, match='valid are: normal, reduce'):
    darts.num_skips('reduction')
  with pytest.raises(errors.UserError, match="Unknown operation 'skip'"):
    darts.count('skip')


@pytest.mark.parametrize('name', GENOTYPES)
def test_round_trips(name):
  cell = GENOTYPES[name]
  assert genotype.Genotype.from_json(cell.to_json()) == cell
  assert genotype.Genotype.from_text(cell.to_text()) == cell
  assert genotype.Genotype.from_dict(cell.to_dict()) == cell


def test_pytorch_text():
  assert TINY.to_text() == TINY_TEXT
  listed = TINY_TEXT.replace('range(2, 3)', '[2]')
  assert genotype.Genotype.from_text(listed) == TINY
  tupled = TINY_TEXT.replace('range(2, 3)', '(2,)')
  assert genotype.Genotype.from_text(f' MINE = {tupled}\n') == TINY
  assert '=[3, 4, 6])' in GENOTYPES['AmoebaNet'].to_text()


@pytest.mark.parametrize(
  'text',
  [
    'Genotype(',
    'Genotype(1)',
    'Genotype(normal=open("x"))',
    'Genotype(normal=[1 + x])',
    'import os; Genotype()',
    'print(1)',
    '\0',
    TINY_TEXT.replace('range(2, 3)', 'range(2.5)'),
    TINY_TEXT.replace('range(2, 3)', 'range(2, 3, 0)'),
  ],
)
def test_text_is_never_evaluated(text):
  with pytest.raises(errors.UserError, match=r'Expected the text Genotype\('):
    genotype.Genotype.from_text(text)


def test_text_with_unpacking():
  with pytest.raises(errors.UserError, match='Expected a genotype with the'):
    genotype.Genotype.from_text('Genotype(**{})')


def test_text_with_an_endless_range():
  text = TINY_TEXT.replace('range(2, 3)', 'range(2, 10 ** 12)')
  with pytest.raises(errors.UserError, match='Expected the text'):
    genotype.Genotype.from_text(text)
  with pytest.raises(errors.UserError, match='different nodes from 2 to 2'):
    genotype.Genotype.from_text(text.replace('10 ** 12', '1' + '0' * 12))


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (
      {'normal': (('sep', 0), (SEP3, 1))},
      "operation at node 2 of the normal cell 'sep'; valid are: none, max_pool",
    ),
    ({'reduce': ((SEP3, 0), (SEP3, 2))}, 'from 0 to 1 at node 2 .* got 2'),
    ({'reduce': ((SEP3, 0), (SEP3, -1))}, 'from 0 to 1 .* reduce cell, got -1'),
    ({'normal': ((SEP3, 0),)}, 'two edges for each node .* got 1 edges'),
    ({'normal': ()}, 'two edges for each node .* got 0 edges'),
    ({'normal': ((SEP3, 0), SEP3)}, 'pair at node 2 .* got .sep_conv_3x3'),
    ({'normal': ((SEP3, 0), (SEP3, '1'))}, 'pair at node 2'),
    ({'normal': [(SEP3, 0), (SEP3, 1)]}, 'Expected tuples as normal .* list'),
    ({'normal': ((SEP3, 0), (SEP3, 1)) * 2}, 'one size, .* 4 edges .* of 2'),
    ({'normal_concat': (1, 2)}, r'normal_concat .* from 2 to 2, got \[1, 2\]'),
    ({'reduce_concat': (3,)}, 'reduce_concat .* from 2 to 2'),
    ({'reduce_concat': (2, 2)}, 'different nodes'),
    ({'reduce_concat': ()}, 'different nodes'),
  ],
)
def test_construction_is_checked(changes, message):
  with pytest.raises(errors.UserError, match=message):
    tiny(**changes)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ([], r'fields normal, normal_concat, reduce, reduce_concat, got \[\]'),
    ({'normal': []}, r"with the fields .* got \['normal'\]"),
    ({**TINY.to_dict(), 'normal_concat': 2}, 'list as normal_concat .* got 2'),
    ({**TINY.to_dict(), 'normal': [1, 2]}, 'pair at node 2 .* got 1'),
    ({**TINY.to_dict(), 'normal_concat': [[2]]}, r'got \[\[2\]\]'),
  ],
)
def test_from_dict_is_checked(fields, message):
  with pytest.raises(errors.UserError, match=message):
    genotype.Genotype.from_dict(fields)


def test_check_space():
  opp = GENOTYPES['OPP_DARTS']
  genotype.check_space(opp, space.get_space('darts'))
  with pytest.raises(
    errors.UserError, match="operation of space 's2' 'dil_conv_3x3'; valid are"
  ):
    genotype.check_space(opp, space.get_space('s2'))


def derive_normal(weights, operations, nodes):
  weights = np.array(weights, np.float32)
  return genotype.derive(weights, weights, operations, nodes)


def test_derive_takes_the_two_strongest_edges_in_order():
  found = derive_normal(
    [
      [0.7, 0.2, 0.1],
      [0.1, 0.4, 0.5],
      [0.9, 0.06, 0.04],
      [0.5, 0.1, 0.4],
      [0.2, 0.5, 0.3],
    ],
    ('none', SKIP, SEP3),
    2,
  )
  assert found.normal == ((SEP3, 1), (SKIP, 0), (SKIP, 2), (SEP3, 1))
  assert found.reduce == found.normal
  assert found.reduce_concat == (2, 3)


def test_derive_gives_ties_to_the_first():
  found = derive_normal(np.full((5, 3), 1 / 3), ('none', SEP3, SKIP), 2)
  assert found.normal == ((SEP3, 0), (SEP3, 1)) * 2


def test_derive_never_takes_an_operation_without_weight():
  operations = ('none', SKIP, SEP3)
  found = derive_normal(
    [[1, 0, 0], [0.9, 0, 0.1], [1, 0, 0], [0.8, 0.2, 0], [0.7, 0.0, 0.3]],
    operations,
    2,
  )
  # Node 2 has one usable edge and takes it twice.
  assert found.normal == ((SEP3, 1), (SEP3, 1), (SEP3, 2), (SKIP, 1))
  found = derive_normal([[1, 0, 0], [1, -1, -1]], operations, 1)
  assert found.normal == (('none', 0), ('none', 1))


def test_derive_refuses_wrong_weights():
  with pytest.raises(errors.UserError, match=r'= \(2, 1\) .* got \(5, 1\)'):
    derive_normal(np.ones((5, 1)), (SEP3,), 1)
  with pytest.raises(
    errors.UserError, match='got NaN: the search has diverged'
  ):
    derive_normal([[np.nan], [1]], (SEP3,), 1)
