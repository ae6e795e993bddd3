"""Spaces on which plain DARTS collapses.

Zela et al., "Understanding and Robustifying Differentiable Architecture
Search", ICLR 2020.
"""

from opp_darts_jax.operations.catalogue import named
from opp_darts_jax.spaces.space import Space

_SKIP = 'skip_connect'
_MAX = 'max_pool_3x3'
_AVG = 'avg_pool_3x3'
_SEP3 = 'sep_conv_3x3'
_DIL3 = 'dil_conv_3x3'
_DIL5 = 'dil_conv_5x5'

# A line of edges is one node, the last of which takes two lines.
# fmt: off
S1 = Space(
  's1',
  named(_MAX, _AVG, _SKIP, _SEP3, _DIL3, _DIL5),
  candidates=(
    ('normal', (
      (_SKIP, _DIL3), (_SKIP, _DIL5),
      (_SKIP, _DIL5), (_SKIP, _SEP3), (_SKIP, _DIL3),
      (_MAX, _SKIP), (_SKIP, _SEP3), (_SKIP, _SEP3), (_SKIP, _DIL3),
      (_SKIP, _SEP3), (_MAX, _SKIP), (_SKIP, _DIL3), (_DIL3, _DIL5),
      (_DIL3, _DIL5),
    )),
    ('reduce', (
      (_MAX, _AVG), (_MAX, _DIL3),
      (_MAX, _AVG), (_MAX, _AVG), (_SKIP, _DIL5),
      (_MAX, _AVG), (_MAX, _SEP3), (_SKIP, _DIL3), (_SKIP, _DIL5),
      (_MAX, _AVG), (_MAX, _AVG), (_SKIP, _DIL5), (_SKIP, _DIL5),
      (_SKIP, _DIL5),
    )),
  ),
)
"""Two operations an edge, those that a search had left on it."""
# fmt: on
S2 = Space('s2', named(_SKIP, _SEP3))
"""The identity or a convolution."""
S3 = Space('s3', named('none', _SKIP, _SEP3))
"""S2, and nothing at all."""
S4 = Space('s4', named('noise', _SEP3))
"""A convolution or random numbers."""
