"""DARTS (Liu et al., "DARTS: Differentiable Architecture Search", ICLR 2019).

Whether its alpha step is of first or second order is the config's `order`
(gradient.py), for other methods too.
"""

from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.method import Draw, Method
from opp_darts_jax.methods.tables import (
  Tables,
  init_alphas,
  softmax_weights,
)
from opp_darts_jax.spaces.space import Space


@memoized(1)
def darts() -> Method:
  """Operations weighted by the softmax of an edge's alphas (equation 2)."""

  def weights(space: Space, alphas: Tables, mask: Tables, draw: Draw) -> Tables:
    del draw
    return softmax_weights(space, alphas, mask)

  return Method('darts', init_alphas, weights, softmax_weights)
