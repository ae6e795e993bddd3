"""The space of DARTS (Liu et al., ICLR 2019, section 3)."""

from opp_darts_jax.operations.catalogue import named
from opp_darts_jax.spaces.space import Space

DARTS = Space(
  'darts',
  named(
    'none',
    'max_pool_3x3',
    'avg_pool_3x3',
    'skip_connect',
    'sep_conv_3x3',
    'sep_conv_5x5',
    'dil_conv_3x3',
    'dil_conv_5x5',
  ),
  further=named('sep_conv_7x7', 'conv_7x1_1x7'),
)
"""Eight operations on every edge, cells of four nodes.

Two further ones are of NASNet and AmoebaNet.
"""
