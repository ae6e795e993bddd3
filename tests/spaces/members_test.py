"""Tests of which genotypes are of a space."""

import re

import pytest
from genotype_cells import BENCH

from opp_darts_jax.config import TrainConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.darts_form import darts_genotype
from opp_darts_jax.genotypes.genotype import Cell, Genotype
from opp_darts_jax.genotypes.published import GENOTYPES
from opp_darts_jax.running.trainings.task import make_network
from opp_darts_jax.spaces.catalogue import SPACES
from opp_darts_jax.spaces.members import check_genotype

SKIP, DIL3, DIL5 = 'skip_connect', 'dil_conv_3x3', 'dil_conv_5x5'
# On edges 0 to 2 and 1 to 2 of S1 there are: skip, dil3; skip, dil5.
OF_S1 = darts_genotype(
  [(DIL3, 0), (DIL5, 1)], [2], [('max_pool_3x3', 0), (DIL3, 1)], [2]
)


@pytest.mark.parametrize('name', GENOTYPES)
def test_published_cells_are_of_the_space_of_darts(name):
  check_genotype(SPACES['darts'], GENOTYPES[name])


def test_operations_are_those_of_the_space():
  for space in ('s2', 's3'):
    valid = ', '.join(SPACES[space].names)
    with pytest.raises(
      UserError, match=f"space {space!r} 'dil_conv_3x3'; valid are: {valid}."
    ):
      check_genotype(SPACES[space], GENOTYPES['DARTS_V2'])
  noise = darts_genotype(*([('noise', 0), (SKIP, 1)], [2]) * 2)
  with pytest.raises(UserError, match="'noise'; valid are: none, .*x7, conv_7"):
    check_genotype(SPACES['darts'], noise)
  check_genotype(SPACES['darts'], OF_S1)


def test_operations_are_those_of_the_edge_where_they_are_listed():
  check_genotype(SPACES['s1'], OF_S1)
  turned = darts_genotype(
    [(DIL5, 0), (DIL3, 1)], [2], [('max_pool_3x3', 0), (DIL3, 1)], [2]
  )
  with pytest.raises(UserError) as error:
    check_genotype(SPACES['s1'], turned)
  assert str(error.value) == (
    'Expected one of skip_connect, dil_conv_3x3 on the edge from node 0 to '
    "node 2 of the normal cell, as space 's1' lists, got dil_conv_5x5."
  )
  sixth = Cell('normal', 2, ((DIL3, 0, 2), (SKIP, 1, 6)), (6,))
  with pytest.raises(UserError, match='no edge from node 1 to node 6; edges'):
    check_genotype(SPACES['s1'], Genotype((sixth, OF_S1['reduce'])))


@pytest.mark.parametrize(
  ('edges', 'output', 'sentence'),
  [
    ((('none', 0, 4),), (3,), 'no edge from node 0 to node 4'),
    ((('none', 0, 3),), (2, 3), r'output of the cell cell .* \[3\], .* \[2, 3'),
  ],
)
def test_cells_of_a_graph_of_its_own(edges, output, sentence):
  space = SPACES['nasbench201']
  check_genotype(space, BENCH)
  fewer = Genotype((Cell('cell', 1, BENCH['cell'].edges[1:], (3,)),))
  check_genotype(space, fewer)
  with pytest.raises(UserError, match=sentence):
    space.check(Genotype((Cell('cell', 1, edges, output),)))


def test_training_asks():
  config = TrainConfig(layers=3, channels=4, space='s2', auxiliary=False)
  with pytest.raises(UserError, match=re.escape("space 's2' 'dil_conv_3x3'")):
    make_network(config, GENOTYPES['DARTS_V2'], SPACES['s2'], 10)
