"""The space of DARTS (Liu et al., ICLR 2019, section 3)."""

import dataclasses

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
DARTS_WITHOUT_NONE = dataclasses.replace(
  DARTS, name='darts_without_none', operations=DARTS.operations[1:]
)
"""The seven that carry signal, of which several methods were published."""
