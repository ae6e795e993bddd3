"""FairDARTS (Chu et al., "Fair DARTS: Eliminating Unfair Advantages in
Differentiable Architecture Search", ECCV 2020).

Operations do not compete: each has the sigmoid of its own alpha as its weight,
and the zero-one loss, -mean (sigmoid(alpha) - 1/2)^2, which is the authors'
default form, drives it from 1/2 to either end. A node keeps at most two edges,
and only operations whose weight reaches the threshold: it may end with none.

The authors add the zero-one loss to the training loss too, where it has no
effect. Their space is without `none`: `darts_without_none`.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.cell import NONE, Cell
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.method import Draw, Method, scores_of
from opp_darts_jax.methods.stages import Search
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.tables import Tables
from opp_darts_jax.spaces.space import Space, derive_two_edges


@memoized(8)
def fair_darts(zero_one: float = 10.0, threshold: float = 0.85) -> Method:
  """Sigmoids as operation weights, and a loss that decides them.

  Args:
    zero_one: factor of the zero-one loss.
    threshold: the least weight of an operation that is derived.

  Raises:
    UserError: unless zero_one is at least 0 and threshold in [0, 1].
  """
  if zero_one < 0 or not 0 <= threshold <= 1:
    raise UserError(
      'fair_darts takes zero_one of at least 0 and threshold in [0, 1]; got '
      f'zero_one={zero_one!r} and threshold={threshold!r}.'
    )

  def weights(space: Space, alphas: Tables, mask: Tables, draw: Draw) -> Tables:
    del draw
    return sigmoids(space, alphas, mask)

  def term(
    space: Space, alphas: Tables, mask: Tables, draw: Draw
  ) -> jax.Array | float:
    del draw
    return zero_one * zero_one_loss(space, alphas, mask)

  def derive(method: Method, search: Search, state: SearchState) -> Genotype:
    space = search.space
    scores = scores_of(method, space, state)
    return derive_above(space, scores, threshold)

  return Method(
    f'fair_darts(zero_one={zero_one}, threshold={threshold})',
    init,
    weights,
    sigmoids,
    val_term=term,
    derive=derive,
  )


def init(key: jax.Array, space: Space) -> Tables:
  """Zeros: every weight begins at 1/2."""
  del key
  return {kind: jnp.zeros(space.table_shape) for kind in space.kinds}


def sigmoids(space: Space, alphas: Tables, mask: Tables) -> Tables:
  """The sigmoid of each alpha; 0 where the mask is False."""
  return {
    kind: jnp.where(mask[kind], jax.nn.sigmoid(alphas[kind]), 0.0)
    for kind in space.kinds
  }


def zero_one_loss(space: Space, alphas: Tables, mask: Tables) -> jax.Array:
  """-mean (sigmoid(alpha) - 1/2)^2 over the active alphas of all cells."""
  far = sum(
    jnp.where(mask[k], (jax.nn.sigmoid(alphas[k]) - 0.5) ** 2, 0.0).sum()
    for k in space.kinds
  )
  count = sum(mask[kind].sum() for kind in space.kinds)
  return -far / jnp.maximum(count, 1)


def derive_above(
  space: Space, scores: Mapping[str, np.ndarray], threshold: float
) -> Genotype:
  """What the space derives of weights that reach the threshold.

  In cells of two edges a node, edges and operations without one are left out:
  where too few reach it, the rule of the space would fill the places.
  """
  strong = {
    kind: np.where(table >= threshold, table, 0.0)
    for kind, table in scores.items()
  }
  found = space.derive(space, strong)
  if space.derive is not derive_two_edges:
    return found
  cells = []
  for cell in found.cells:
    edges = [edge for edge in cell.edges if edge.operation != NONE]
    once = tuple(dict.fromkeys(edges))
    cells.append(Cell(cell.kind, cell.inputs, once, cell.output))
  return Genotype(tuple(cells))
