"""Random search with weight sharing (Li and Talwalkar, "Random Search and
Reproducibility for Neural Architecture Search", UAI 2019).

Every step trains one cell of each kind, drawn uniformly from what the space
derives, and computes nothing else. At the end, the best of so many cells by
accuracy on D_val, at the shared weights, is what has been found.

Accuracies are on the whole batches of D_val, by the statistics of the batch:
running averages are of all cells at once. The authors evaluate in two rounds,
on ten batches first. If a watcher ends the search early, no choice is made, as
in all epochs before the last: the first of the drawn cells stands.
"""

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.cell import NONE
from opp_darts_jax.genotypes.derive import PLACES
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.method import Draw, Method
from opp_darts_jax.methods.random_cells import ranks
from opp_darts_jax.methods.samples import key_of_each
from opp_darts_jax.methods.stages import Search
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.tables import Tables, init_alphas, softmax_weights
from opp_darts_jax.spaces.space import Space, derive_two_edges

_CHOICE = 0x5A3B  # Far from what else is drawn with a search's key.


@memoized(8)
def random_sharing(samples: int = 100) -> Method:
  """One random cell a step; the best of many at the end.

  Args:
    samples: cells that are evaluated at the end.

  Raises:
    UserError: unless it is at least 1.
  """
  if samples < 1:
    raise UserError(
      f'random_sharing takes samples of at least 1; got samples={samples!r}.'
    )

  def weights(space: Space, alphas: Tables, mask: Tables, draw: Draw) -> Tables:
    del alphas
    return sample(draw.key, space, mask)

  def derive(method: Method, search: Search, state: SearchState) -> Genotype:
    del method
    space = search.space
    keys = jax.random.split(jax.random.fold_in(search.key, _CHOICE), samples)
    ended = state.step >= search.per_epoch * search.config.epochs
    drawn = [
      sample(key, space, state.mask) for key in (keys if ended else keys[:1])
    ]
    best = drawn[0]
    if len(drawn) > 1:
      found = [search.accuracy(state, own, by_batch=True) for own in drawn]
      best = drawn[int(np.argmax(found))]
    return space.derive(space, jax.device_get(best))

  return Method(
    f'random_sharing(samples={samples})',
    init_alphas,
    weights,
    softmax_weights,
    trained=lambda alphas, mask: jax.tree.map(jnp.zeros_like, mask),
    sparse=True,
    trains_alphas=lambda progress: jnp.zeros((), bool),
    derive=derive,
  )


def sample(key: jax.Array, space: Space, mask: Tables) -> Tables:
  """A cell of every kind as operation weights: 1 for what it has, else 0."""
  return {
    kind: one_cell(own, space, mask[kind])
    for kind, own in key_of_each(key, space).items()
  }


def one_cell(key: jax.Array, space: Space, mask_EK: jax.Array) -> jax.Array:
  """One operation on every edge, or on two into a node, as 1 in (E, K).

  As the space derives: `none` is no choice where only two edges are kept.
  """
  rank_EK = ranks(key, space.table_shape)
  two_edges = space.derive is derive_two_edges
  if two_edges:
    mask_EK &= jnp.array([name != NONE for name in space.names])
  rank_EK = jnp.where(mask_EK, rank_EK, -1.0)
  chosen_EK = jax.nn.one_hot(rank_EK.argmax(1), rank_EK.shape[1])
  kept_E = mask_EK.any(1)
  if two_edges:
    strength_E = rank_EK.max(1)
    stays = []
    for node in space.graph.intermediate:  # A graph has its edges by node.
      of_node = strength_E[np.array(space.graph.into(node))]
      above = (of_node[None] > of_node[:, None]).sum(1)
      stays.append(above < PLACES)
    kept_E &= jnp.concatenate(stays)
  return chosen_EK * kept_E[:, None]
