"""SNAS (Xie et al., "SNAS: Stochastic Neural Architecture Search", ICLR 2019).

One level: weights and alphas move at once, down the loss on the training
images. Operation weights are relaxed samples of one operation an edge,
softmax((alpha + Gumbel noise) / temperature), one draw a step for all cells of
a kind; the temperature falls linearly. A resource term, linear in the samples,
restrains what is derived. All edges are kept whose strongest operation is not
`none`, so that nodes may have any number of inputs.

What deviates: there is no drop-path in the supernet (the authors' is 0.3). The
resource term counts multiply-adds alone, as shares of the dearest operation's,
where the authors add constants for weights and memory traffic. D_train is a
share of the images (`train_fraction`), not all of them: D_val is evaluated.
"""

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.cell import NONE, Cell
from opp_darts_jax.genotypes.derive import every_edge
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.method import (
  Draw,
  Method,
  Progress,
  derive_by_scores,
  no_term,
  scores_of,
)
from opp_darts_jax.methods.samples import (
  gumbel_softmax,
  key_of_each,
  linear,
  told,
)
from opp_darts_jax.methods.stages import Search
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.tables import Tables, softmax_weights
from opp_darts_jax.spaces.space import Space, derive_two_edges

# Any image would do: only the ratios of operations count.
_CHANNELS, _SIZE = 16, (32, 32)


@memoized(8)
def snas(temperature_min: float = 0.03, resource: float = 0.0) -> Method:
  """Relaxed samples of one operation an edge, in one level.

  Args:
    temperature_min: to which the temperature falls, from 1.
    resource: factor of the resource term.

  Raises:
    UserError: unless temperature_min is above 0 and resource at least 0.
  """
  if not temperature_min > 0 or not resource >= 0:
    raise UserError(
      'snas takes temperature_min above 0 and resource of at least 0; got '
      f'temperature_min={temperature_min!r} and resource={resource!r}.'
    )

  def heat(progress: Progress) -> jax.Array:
    # The authors' first epoch is already one step below 1.
    first = 1 - (1 - temperature_min) / progress.epochs
    return linear(progress, first, temperature_min)

  def weights(space: Space, alphas: Tables, mask: Tables, draw: Draw) -> Tables:
    keys, now = key_of_each(draw.key, space), heat(draw.progress)
    return {
      kind: gumbel_softmax(keys[kind], alphas[kind], mask[kind], now)
      for kind in space.kinds
    }

  def term(
    space: Space, alphas: Tables, mask: Tables, draw: Draw
  ) -> jax.Array | float:
    # The key is the pass's own: the term is of the sample that is trained.
    return resource * cost(space, weights(space, alphas, mask, draw))

  def check(config: SearchConfig, space: Space) -> None:
    del config
    for operation in space.operations if resource else ():
      if operation.parametric and not operation.says_multiply_adds:
        raise UserError(
          f'The operation {operation.name!r} does not say how many '
          "multiply-adds it takes, which snas's resource term counts: give its "
          'Operation multiply_adds, or leave resource 0.'
        )

  return Method(
    f'snas(temperature_min={temperature_min}, resource={resource})',
    init,
    weights,
    softmax_weights,
    single_level=True,
    check=check,
    train_term=term if resource else no_term,
    derive=derive,
    every_edge=True,
    numbers=told(heat),
  )


def init(key: jax.Array, space: Space) -> Tables:
  """Alphas from N(1, 0.01^2), as in the authors' code."""
  return {
    kind: 1 + 0.01 * jax.random.normal(own, space.table_shape)
    for kind, own in key_of_each(key, space).items()
  }


def cost(space: Space, tables: Tables) -> jax.Array:
  """Multiply-adds of a cell, the mean over kinds; the dearest operation is 1.

  Linear in the operation weights, (E, K) each.
  """
  costs = [o.multiply_adds(_CHANNELS, 1, _SIZE) for o in space.operations]
  cost_K = np.array(costs) / max(*costs, 1)
  each = [(tables[kind] @ cost_K).sum() for kind in space.kinds]
  return jnp.stack(each).mean()


def derive(method: Method, search: Search, state: SearchState) -> Genotype:
  """All edges whose strongest operation is something, or the space's rule."""
  space = search.space
  if space.derive is not derive_two_edges:
    return derive_by_scores(method, search, state)
  scores = scores_of(method, space, state)
  cells = []
  for kind in space.kinds:
    cell = every_edge(kind, scores[kind], space.names, space.graph)
    edges = tuple(edge for edge in cell.edges if edge.operation != NONE)
    cells.append(Cell(kind, cell.inputs, edges, cell.output))
  return Genotype(tuple(cells))
