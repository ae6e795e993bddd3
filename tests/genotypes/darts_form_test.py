"""Tests of genotypes in the form of DARTS and of their text."""

import re

import numpy as np
import pytest
from genotype_cells import BENCH, SEP3, SKIP, TINY, UNEVEN

from opp_darts_jax import errors
from opp_darts_jax.genotypes import darts_form
from opp_darts_jax.genotypes.genotype import Cell, Edge, Genotype
from opp_darts_jax.genotypes.pairs import pairs
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
  assert pairs(normal)[2:] == ((SKIP, 2), (SEP3, 0))
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
  given = pairs(GENOTYPES['DARTS_V1']['normal'])[:4]
  genotype = darts_form.darts_genotype(given, [2, 3], given, [2, 3])
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
    TINY_TEXT.replace('range(2, 3)', 'list(range(2, 3))'),
    TINY_TEXT.replace('range(2, 3)', 'np.array([2])'),
    TINY_TEXT.replace(', 0)', ', np.int64(0))').replace(', 1)', ', int(1))'),
    TINY_TEXT.replace("'max_pool_3x3'", "np.str_('max_pool_3x3')"),
    f'genotypes.{TINY_TEXT}',
    f'OPP: Genotype = {TINY_TEXT}',
    f'import numpy as np\nPRIMITIVES = ["none"]\nOPP = {TINY_TEXT}',
    TINY_TEXT.replace(', ', ',\r\n  # so\r\n').replace(')', ',)'),
    f'  # Found.\n  {TINY_TEXT}',
    re.sub(r'\b(normal|reduce)\w*=', '', TINY_TEXT),
  ],
)
def test_text_as_people_keep_it(text):
  assert darts_form.from_text(text) == TINY


@pytest.mark.parametrize(
  ('text', 'place'),
  [
    ('Genotype(', r"line 1, column 9, at '\(': '\(' was never closed"),
    ('Genotype(1.5)', "line 1, column 10, at '1.5': expected a list, a pair"),
    ('Genotype(normal=open("x"))', r"column 17, at 'open\(\"x\"\)': of calls"),
    ('Genotype(normal=[1 + x])', "column 18, at '1 . x': expected a list"),
    ('Genotype(normal=-x)', "column 17, at '-x'"),
    ('Genotype(nor=[])', "at '..': valid arguments are normal, normal_conc"),
    ('Genotype([], normal=[])', 'column 21, .*: normal is given twice'),
    ('Genotype(*[])', r"column 10, at '\*\[\]'"),
    ('Genotype([], [], [], [], 7)', "at '7': there are only 4 arguments"),
    ('Genotype(**{})', "at '{}': valid arguments are"),
    ('\0', 'line 1, column 1.*null bytes'),
    (
      "Genotype(\n  normal=[('ä', np.float64(0))],\n)",
      r"line 2, column 17, at 'np.float64\(0\)': of calls only range",
    ),
    (TINY_TEXT.replace('range(2, 3)', 'range(2.5)'), "at '2.5'"),
    (TINY_TEXT.replace('range(2, 3)', 'range(2, 3, 0)'), 'must not be zero'),
    (TINY_TEXT.replace('range(2, 3)', 'range(10**9)'), "at '10..9'"),
    (TINY_TEXT.replace('3)', '3000000000)'), 'a range of too many numbers'),
    ('Genotype(normal=' + '[' * 5000, 'line 1'),
    ('x = 1\rGenotype(\r1.5)', "line 3, column 1, at '1.5'"),
    (f'Genotype(0x{"f" * 5000})', 'column 10, .*of too many digits'),
  ],
)
def test_the_place_where_reading_stopped(text, place):
  with pytest.raises(
    errors.UserError, match=rf'Expected the text Genotype\(.*{place}'
  ):
    darts_form.from_text(text)


@pytest.mark.parametrize(
  'piece', ['\r1.5\r', '-0x' + 'f' * 5000, '9' * 5000, '\0', '\ud800', '\x0c']
)
@pytest.mark.parametrize('read', [darts_form.from_text, Genotype.from_json])
def test_whatever_a_text_has_ends_in_a_sentence(read, piece):
  for text in (
    TINY_TEXT.replace('range(2, 3)', f'[{piece}]'),
    f'{{"cells": {piece}}}',
    f'{piece}({piece}',
  ):
    with pytest.raises(errors.UserError, match='^Expected '):
      read(text)


@pytest.mark.parametrize(
  ('text', 'got'),
  [
    ('print(1)', r'got 0\.$'),
    (f'A = {TINY_TEXT}\nB = {TINY_TEXT}', r'got 2: A, B\.$'),
  ],
)
def test_a_text_of_one_genotype(text, got):
  with pytest.raises(errors.UserError, match=f'the text of one .*{got}'):
    darts_form.from_text(text)


def test_fields_that_are_missing_are_named():
  with pytest.raises(errors.UserError, match=r'Expected a .* got \[.normal'):
    darts_form.from_text('import os; Genotype([])')


def test_numbers_of_numpy():
  genotype = darts_form.darts_genotype(
    *([(SEP3, np.int64(0)), (np.str_(SKIP), np.int32(1))], [np.int64(2)]),
    *([('max_pool_3x3', 1), (SEP3, 0)], range(2, 3)),
  )
  assert genotype == TINY
  assert genotype.to_json() == TINY.to_json()


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'reduce': ((SEP3, 0), (SEP3, 2))}, 'from 0 to 1 at node 2 .* got 2'),
    ({'reduce': ((SEP3, 0), (SEP3, -1))}, 'from 0 to 1 .* reduce cell, got -1'),
    ({'normal': ((SEP3, 0),)}, 'two edges for each node .* got 1 edges'),
    ({'normal': ()}, 'two edges for each node .* got 0 edges'),
    ({'normal': ((SEP3, 0), SEP3)}, 'pair at node 2 .* got .sep_conv_3x3'),
    ({'normal': ((SEP3, 0), (SEP3, '1'))}, 'pair at node 2'),
    ({'normal': ((SEP3, 0), (SEP3, True))}, 'pair at node 2'),
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
