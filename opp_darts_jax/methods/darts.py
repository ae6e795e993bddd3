"""DARTS (Liu et al., "DARTS: Differentiable Architecture Search", ICLR 2019).

Whether its alpha step is of first or second order is the config's `order`
(gradient.py), for other methods too.
"""

from opp_darts_jax.methods.method import Draw, Method
from opp_darts_jax.methods.tables import (
  Tables,
  init_alphas,
  softmax_weights,
)


def darts() -> Method:
  """Operations weighted by the softmax of an edge's alphas (equation 2)."""

  def weights(alphas: Tables, mask: Tables, draw: Draw) -> Tables:
    del draw
    return softmax_weights(alphas, mask)

  return Method('darts', init_alphas, weights, softmax_weights)
