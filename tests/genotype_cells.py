"""Genotypes of several forms, for the tests."""

from opp_darts_jax.genotypes.darts_form import darts_genotype
from opp_darts_jax.genotypes.genotype import Cell, Edge, Genotype

SEP3 = 'sep_conv_3x3'
SKIP = 'skip_connect'
TINY = darts_genotype(
  normal=[(SEP3, 0), (SKIP, 1)],
  normal_concat=[2],
  reduce=[('max_pool_3x3', 1), (SEP3, 0)],
  reduce_concat=[2],
)
# One input, six edges, the last node alone as output: NAS-Bench-201's cell.
BENCH = Genotype(
  (
    Cell(
      'cell',
      inputs=1,
      edges=(
        Edge('nor_conv_3x3', 0, 1),
        Edge(SKIP, 0, 2),
        Edge('none', 1, 2),
        Edge(SKIP, 0, 3),
        Edge('avg_pool_3x3', 1, 3),
        Edge('nor_conv_3x3', 2, 3),
      ),
      output=(3,),
    ),
  )
)
# Nodes of two, one, no and three edges.
UNEVEN = Genotype(
  (
    Cell(
      'normal',
      2,
      (
        Edge(SEP3, 0, 2),
        Edge(SKIP, 1, 2),
        Edge(SKIP, 2, 3),
        Edge(SEP3, 0, 5),
        Edge('my own', 3, 5),
        Edge(SEP3, 4, 5),
      ),
      (2, 3, 4, 5),
    ),
    Cell('reduce', 2, (), (2,)),
  )
)
