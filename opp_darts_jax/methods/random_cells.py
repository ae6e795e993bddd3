"""Random cells: the baseline without a search.

A cell of every kind, uniform over what the space derives: which edges a node
keeps, and which of its operations each has. Nothing is trained, the search ends
before its first epoch, and the seed decides. Several seeds, each of which is
trained, are the random sampling that Yang et al., "NAS evaluation is
frustratingly hard", ICLR 2020, ask every method to be compared with; the best
of them by validation is random search.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.growth import all_enter
from opp_darts_jax.methods.method import Draw, Method, derive_by_scores
from opp_darts_jax.methods.samples import key_of_each
from opp_darts_jax.methods.stages import Change, Search, Stage
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.tables import Tables, softmax_weights
from opp_darts_jax.spaces.space import Space

_DRAW = 0x4CE1  # Far from what else is drawn with a search's key.


@memoized(8)
def random_cells() -> Method:
  """Cells by chance, of the seed."""

  def weights(space: Space, ranks: Tables, mask: Tables, draw: Draw) -> Tables:
    del draw
    return softmax_weights(space, ranks, mask)

  return Method(
    'random_cells',
    init,
    weights,
    scores,
    trained=lambda ranks, mask: jax.tree.map(jnp.zeros_like, mask),
    begin_epoch=begin_epoch,
    derive=derive,
    summary='none: the cells are drawn, and nothing is trained',
  )


def init(key: jax.Array, space: Space) -> Tables:
  """Numbers in (0, 1), (E, K), by which edges and operations are ranked."""
  shape = space.table_shape
  return {
    kind: (1 + ranks(own, shape)) / (1 + shape[0])
    for kind, own in key_of_each(key, space).items()
  }


def ranks(key: jax.Array, shape: tuple[int, int]) -> jax.Array:
  """A rank of each edge, 0 to E - 1, plus a number in (0, 1/2) for operations.

  So the strongest operation of an edge is uniform over those that it may have,
  and the order of the edges does not depend on how many these are.
  """
  edge_key, operation_key = jax.random.split(key)
  rank_E = jax.random.permutation(edge_key, shape[0])
  return rank_E[:, None] + jax.random.uniform(
    operation_key, shape, minval=1e-3, maxval=0.5
  )


def scores(space: Space, ranks: Tables, mask: Tables) -> Tables:
  """The numbers of what is active."""
  return {kind: jnp.where(mask[kind], ranks[kind], 0.0) for kind in space.kinds}


def begin_epoch(
  search: Search, state: SearchState, epoch: int, stages: Sequence[Stage]
) -> Change:
  """The cells are drawn, and that is the end."""
  change = all_enter(search, state, epoch, stages)
  drawn = init(jax.random.fold_in(search.key, _DRAW), search.space)
  return change._replace(state=change.state.replace(alphas=drawn), stop=True)


def derive(method: Method, search: Search, state: SearchState) -> Genotype:
  """Of all operations of the space, whatever a schedule lets in at first."""
  mask = jax.device_put(search.space.mask())
  return derive_by_scores(method, search, state.replace(mask=mask))
