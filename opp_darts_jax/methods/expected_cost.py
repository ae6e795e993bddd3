"""What cells cost that are drawn from a method's scores, and may cost at all.

On each edge there is an operation with the chance of its share of the edge's
score, and for each node two edges are drawn, one after the other, by their
strongest operation; or all of them, where a space or a method keeps them all,
with what is left out for `none`. Methods with another rule (GDAS, FairDARTS,
P-DARTS) are taken to keep two edges, too, and spaces with another to keep all:
of these it is an approximation.

Axes: E edges of a cell, K operations of the space.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.genotypes.cell import NONE
from opp_darts_jax.methods.method import Method, derive_by_scores
from opp_darts_jax.methods.tables import Tables
from opp_darts_jax.networks.costs import Costs, bounds, loose_bounds
from opp_darts_jax.spaces.space import Space, derive_two_edges

_TINY = 1e-12


def expected(
  space: Space, scores: Tables, costs: Costs, every_edge: bool = False
) -> jax.Array:
  """The mean cost of networks whose cells are drawn by scores.

  Args:
    space: whose rule derives.
    scores: {kind: (E, K)}.
    costs: of the space.
    every_edge: whether all edges are kept, whatever the rule of the space.
  """
  two_edges = space.derive is derive_two_edges and not every_edge
  may_K = np.array([name != NONE or not two_edges for name in space.names])
  total: Any = costs.fixed
  for kind in space.kinds:
    score_EK = jnp.where(may_K, scores[kind], 0.0)
    sums_E = score_EK.sum(1)
    share_EK = score_EK / jnp.maximum(sums_E, _TINY)[:, None]
    cost_E = (share_EK * costs.table(kind)).sum(1)
    if two_edges:
      cost_E *= chances(space, score_EK.max(1))
    total += cost_E.sum()
  return total


def chances(space: Space, strength_E: jax.Array) -> jax.Array:
  """Of each edge, to be among the two that its node draws."""
  each = []
  for node in space.graph.intermediate:  # A graph has its edges by node.
    own = strength_E[np.array(space.graph.into(node))]
    first = own / jnp.maximum(own.sum(), _TINY)
    # One that is as good as certain leaves no second draw worth a number.
    then = first / jnp.maximum(1 - first, 1e-6)
    each.append(first + first * (then.sum() - then))
  return jnp.concatenate(each)


def reach(
  method: Method, space: Space, costs: Costs, mask: Mapping[str, np.ndarray]
) -> tuple[float, float]:
  """The least and the most that cells of a method cost, as far as is known.

  Args:
    method: whose rule derives: by scores it is that of the space; by another of
      either any edges may be kept, each with an operation at most.
    space: of the cells.
    costs: of it.
    mask: {kind: bool (E, K)}, the operations that there are.
  """
  if method.derive is derive_by_scores or method.every_edge:
    return bounds(costs, space, mask, method.every_edge)
  return loose_bounds(costs, mask)
