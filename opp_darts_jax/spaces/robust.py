"""Spaces on which plain DARTS collapses.

Zela et al., "Understanding and Robustifying Differentiable Architecture
Search", ICLR 2020.
"""

from opp_darts_jax.genotypes.cell import NONE, SKIP
from opp_darts_jax.operations.catalogue import named
from opp_darts_jax.spaces.space import Space

_MAX = 'max_pool_3x3'
_AVG = 'avg_pool_3x3'
_SEP3 = 'sep_conv_3x3'
_DIL3 = 'dil_conv_3x3'
_DIL5 = 'dil_conv_5x5'

# A line of edges is one node, the last of which takes two lines.
# fmt: off
S1 = Space(
  's1',
  named(_MAX, _AVG, SKIP, _SEP3, _DIL3, _DIL5),
  candidates=(
    ('normal', (
      (SKIP, _DIL3), (SKIP, _DIL5),
      (SKIP, _DIL5), (SKIP, _SEP3), (SKIP, _DIL3),
      (_MAX, SKIP), (SKIP, _SEP3), (SKIP, _SEP3), (SKIP, _DIL3),
      (SKIP, _SEP3), (_MAX, SKIP), (SKIP, _DIL3), (_DIL3, _DIL5),
      (_DIL3, _DIL5),
    )),
    ('reduce', (
      (_MAX, _AVG), (_MAX, _DIL3),
      (_MAX, _AVG), (_MAX, _AVG), (SKIP, _DIL5),
      (_MAX, _AVG), (_MAX, _SEP3), (SKIP, _DIL3), (SKIP, _DIL5),
      (_MAX, _AVG), (_MAX, _AVG), (SKIP, _DIL5), (SKIP, _DIL5),
      (SKIP, _DIL5),
    )),
  ),
)
"""Two operations an edge, those that a search had left on it."""
# fmt: on
S2 = Space('s2', named(SKIP, _SEP3))
"""The identity or a convolution."""
S3 = Space('s3', named(NONE, SKIP, _SEP3))
"""S2, and nothing at all."""
S4 = Space('s4', named('noise', _SEP3))
"""A convolution or random numbers."""
