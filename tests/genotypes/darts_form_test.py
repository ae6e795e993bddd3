"""Tests of genotypes in the form of DARTS and of their text."""

import pytest
from genotype_cells import BENCH, SEP3, SKIP, TINY, UNEVEN

from opp_darts_jax import errors
from opp_darts_jax.genotypes import darts_form
from opp_darts_jax.genotypes.genotype import Cell, Edge, Genotype
from opp_darts_jax.genotypes.published import GENOTYPES

FIELDS = {
  'normal': ((SEP3, 0), (SKIP, 1)),
  'normal_concat': (2,),
  'reduce': (('max_pool_3x3', 1), (SEP3, 0)),
  'reduce_concat': (2,),
}
TINY_TEXT = (
  "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1)], "
  'normal_concat=range(2, 3), '
  "reduce=[('max_pool_3x3', 1), ('sep_conv_3x3', 0)], "
  'reduce_concat=range(2, 3))'
)


def test_pairs_feed_the_nodes_in_turn():
  genotype = darts_form.darts_genotype(
    [(SEP3, 0), (SKIP, 1), (SKIP, 2), (SEP3, 0)],
    range(2, 4),
    [(SKIP, 0)] * 4,
    [3],
  )
  normal = genotype['normal']
  assert normal.edges[1:3] == (Edge(SKIP, 1, 2), Edge(SKIP, 2, 3))
  assert (normal.inputs, normal.output) == (2, (2, 3))
  assert darts_form.pairs(normal)[2:] == ((SKIP, 2), (SEP3, 0))
  assert darts_form.darts_genotype(**FIELDS) == TINY


def test_what_has_the_form():
  assert all(map(darts_form.is_darts_form, GENOTYPES.values()))
  assert darts_form.is_darts_form(TINY)
  assert not darts_form.is_darts_form(BENCH)
  assert not darts_form.is_darts_form(UNEVEN)


@pytest.mark.parametrize(
  'reduce',
  [
    Cell('reduce', 1, ((SEP3, 0, 2), (SEP3, 1, 2)), (2,)),
    Cell('reduce', 2, ((SEP3, 0, 2),), (2,)),
    Cell('reduce', 2, ((SEP3, 0, 2),) * 3, (2,)),
    Cell('reduce', 2, ((SEP3, 0, 2),) * 2, (3,)),
    Cell('reduce', 2, ((SEP3, 0, 2),) * 2 + ((SEP3, 0, 3),) * 2, (3,)),
    Cell('other', 2, ((SEP3, 0, 2),) * 2, (2,)),
  ],
)
def test_what_does_not_have_the_form(reduce):
  genotype = Genotype((TINY['normal'], reduce))
  assert not darts_form.is_darts_form(genotype)
  assert Genotype.from_json(genotype.to_json()) == genotype


def test_nodes_in_another_order_have_not_the_form():
  pairs = darts_form.pairs(GENOTYPES['DARTS_V1']['normal'])[:4]
  genotype = darts_form.darts_genotype(pairs, [2, 3], pairs, [2, 3])
  first, second, *others = genotype['normal'].edges
  turned = Cell('normal', 2, (*others, first, second), (2, 3))
  other = Genotype((turned, genotype['reduce']))
  assert darts_form.is_darts_form(genotype)
  assert not darts_form.is_darts_form(other)


@pytest.mark.parametrize('name', GENOTYPES)
def test_text_round_trips(name):
  genotype = GENOTYPES[name]
  assert darts_form.from_text(darts_form.to_text(genotype)) == genotype


def test_pytorch_text():
  assert darts_form.to_text(TINY) == TINY_TEXT
  listed = TINY_TEXT.replace('range(2, 3)', '[2]')
  assert darts_form.from_text(listed) == TINY
  tupled = TINY_TEXT.replace('range(2, 3)', '(2,)')
  assert darts_form.from_text(f' MINE = {tupled}\n') == TINY
  assert '=[3, 4, 6])' in darts_form.to_text(GENOTYPES['AmoebaNet'])


def test_other_genotypes_have_no_text():
  with pytest.raises(errors.UserError, match='form of DARTS, .* cells: cell;'):
    darts_form.to_text(BENCH)
  with pytest.raises(errors.UserError, match='two edges for each node'):
    darts_form.to_text(UNEVEN)


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
    darts_form.from_text(text)


def test_text_with_unpacking():
  with pytest.raises(errors.UserError, match='Expected a genotype with the'):
    darts_form.from_text('Genotype(**{})')


def test_text_with_an_endless_range():
  text = TINY_TEXT.replace('range(2, 3)', 'range(2, 10 ** 12)')
  with pytest.raises(errors.UserError, match='Expected the text'):
    darts_form.from_text(text)
  with pytest.raises(errors.UserError, match='different nodes from 2 to 2'):
    darts_form.from_text(text.replace('10 ** 12', '1' + '0' * 12))


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'reduce': ((SEP3, 0), (SEP3, 2))}, 'from 0 to 1 at node 2 .* got 2'),
    ({'reduce': ((SEP3, 0), (SEP3, -1))}, 'from 0 to 1 .* reduce cell, got -1'),
    ({'normal': ((SEP3, 0),)}, 'two edges for each node .* got 1 edges'),
    ({'normal': ()}, 'two edges for each node .* got 0 edges'),
    ({'normal': ((SEP3, 0), SEP3)}, 'pair at node 2 .* got .sep_conv_3x3'),
    ({'normal': ((SEP3, 0), (SEP3, '1'))}, 'pair at node 2'),
    ({'normal': SEP3}, 'Expected a list as normal of a genotype, got .sep_co'),
    ({'normal': ((SEP3, 0), (SEP3, 1)) * 2}, 'one size, .* 4 edges .* of 2'),
    ({'normal_concat': (1, 2)}, r'normal_concat .* from 2 to 2, got \[1, 2\]'),
    ({'reduce_concat': (3,)}, 'reduce_concat .* from 2 to 2'),
    ({'reduce_concat': (2, 2)}, 'different nodes'),
    ({'reduce_concat': ()}, 'different nodes'),
  ],
)
def test_construction_is_checked(changes, message):
  with pytest.raises(errors.UserError, match=message):
    darts_form.darts_genotype(**FIELDS | changes)
