"""Tests of DARTS: what is derived from its alphas."""

import numpy as np
import tiny_search

from opp_darts_jax.genotypes.pairs import pairs
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.state import SearchState

SPACE = tiny_search.space_of('s3', 'none', 'skip_connect', 'sep_conv_3x3')


def test_genotype_of_small_tables():
  # Nodes 2 and 3: edges (0, 2), (1, 2), (0, 3), (1, 3), (2, 3).
  alphas = {
    'normal': np.float32(
      [
        [9.0, 0.0, 2.0],  # none wins, but does not count
        [0.0, 3.0, 1.0],
        [0.0, 5.0, 9.0],  # of which the mask leaves skip_connect alone
        [0.0, 0.0, 1.0],
        [0.0, 4.0, 0.0],
      ]
    ),
    'reduce': np.float32([[0, 0, 1 + edge] for edge in range(5)]),
  }
  mask = SPACE.mask()
  mask['normal'][2] = [False, True, False]
  state = SearchState(None, None, None, alphas, mask, None, None)
  method = darts()
  genotype = method.derive(method, tiny_search.search_of(SPACE), state)
  assert pairs(genotype['normal']) == (
    ('skip_connect', 1),
    ('sep_conv_3x3', 0),
    ('skip_connect', 0),
    ('skip_connect', 2),
  )
  assert pairs(genotype['reduce']) == (
    ('sep_conv_3x3', 1),
    ('sep_conv_3x3', 0),
    ('sep_conv_3x3', 2),
    ('sep_conv_3x3', 1),
  )
  assert [cell.output for cell in genotype.cells] == [(2, 3)] * 2
