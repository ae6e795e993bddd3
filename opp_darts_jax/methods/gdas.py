"""GDAS (Dong and Yang, "Searching for A Robust Neural Architecture in Four GPU
Hours", CVPR 2019).

Every pass samples one operation an edge by the Gumbel-max trick, computes it
alone, h = onehot(argmax s), and passes its gradient straight through to the
relaxed sample s = softmax((log softmax(alpha) + Gumbel noise) / temperature).
The temperature falls linearly. A step moves the weights first.

As in the authors' code for cells with two inputs, an edge is h_k o_k(x), so
that only the sampled operation has a gradient for its weight. Their code for
NAS-Bench-201 adds the zeros sum_{j != k} h_j, a path for the gradient that is
left out here. What is derived for cells of two edges a node are its two
strongest pairs of an operation and an edge, which may be of one edge. The
authors lower the weights' learning rate with every step, here with every epoch.
"""

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.cell import NONE, Cell, Edge
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.method import (
  Draw,
  Method,
  Progress,
  derive_by_scores,
  scores_of,
)
from opp_darts_jax.methods.samples import (
  gumbel_softmax,
  key_of_each,
  linear,
  straight_through,
  told,
)
from opp_darts_jax.methods.stages import Search
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.tables import Tables, init_alphas, softmax_weights
from opp_darts_jax.spaces.space import Space, derive_two_edges


@memoized(8)
def gdas(temperature: float = 10.0, temperature_min: float = 0.1) -> Method:
  """One sampled operation an edge, straight through.

  Args:
    temperature: of the relaxed sample in the first epoch.
    temperature_min: in the last.

  Raises:
    UserError: unless both are above 0.
  """
  if not min(temperature, temperature_min) > 0:
    raise UserError(
      'gdas takes temperatures above 0; got '
      f'temperature={temperature!r} and temperature_min={temperature_min!r}.'
    )

  def heat(progress: Progress) -> jax.Array:
    return linear(progress, temperature, temperature_min)

  def weights(space: Space, alphas: Tables, mask: Tables, draw: Draw) -> Tables:
    keys, now = key_of_each(draw.key, space), heat(draw.progress)
    return {
      kind: sample(keys[kind], alphas[kind], mask[kind], now)
      for kind in space.kinds
    }

  return Method(
    f'gdas(temperature={temperature}, temperature_min={temperature_min})',
    init_alphas,
    weights,
    softmax_weights,
    sparse=True,
    weights_first=True,
    derive=derive,
    numbers=told(heat),
  )


def sample(
  key: jax.Array,
  alphas_EK: jax.Array,
  mask_EK: jax.Array,
  temperature: float | jax.Array,
) -> jax.Array:
  """One operation an edge, as 1 among zeros."""
  # Logits are log-probabilities; a shift of a row changes nothing else.
  logits_EK = jax.nn.log_softmax(jnp.where(mask_EK, alphas_EK, -1e9))
  soft_EK = gumbel_softmax(key, logits_EK, mask_EK, temperature)
  return straight_through(soft_EK, mask_EK)


def derive(method: Method, search: Search, state: SearchState) -> Genotype:
  """The two strongest pairs of a node, or what the space derives."""
  space = search.space
  if space.derive is not derive_two_edges:
    return derive_by_scores(method, search, state)
  scores = scores_of(method, space, state)
  cells = (two_pairs(space, kind, scores[kind]) for kind in space.kinds)
  return Genotype(tuple(cells))


def two_pairs(space: Space, kind: str, scores_EK: np.ndarray) -> Cell:
  """The two strongest (operation, edge) of each node; none is no operation."""
  graph = space.graph
  edges: list[Edge] = []
  for node in graph.intermediate:
    pairs = [
      (-scores_EK[row, column], row, column)
      for row in graph.into(node)
      for column, name in enumerate(space.names)
      if name != NONE and scores_EK[row, column] > 0
    ]
    edges += [
      Edge(space.names[column], *graph.edges[row])
      for _, row, column in sorted(pairs)[:2]
    ]
  return Cell(kind, graph.inputs, tuple(edges), graph.output)
