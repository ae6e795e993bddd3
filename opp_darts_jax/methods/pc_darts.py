"""PC-DARTS (Xu et al., "PC-DARTS: Partial Channel Connections for
Memory-Efficient Architecture Search", ICLR 2020).

Operations see the first 1/K of the channels of a node, the others pass beside
them (section 3.1); edges have weights of their own, normalised over the edges
into each node, which stabilise the search (section 3.2, equations 3 and 4).
Alphas rest for the first epochs.

As in the authors' code, the channels seen are always the first, and a shuffle
of channels lets the next edges see others. Edges on which nothing is active
have no part in the softmax over edges.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.graph import CellGraph
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.method import Draw, Method, Params, Progress
from opp_darts_jax.methods.tables import (
  ALPHA_SCALE,
  Tables,
  init_alphas,
  masked_softmax,
  softmax_weights,
)
from opp_darts_jax.operations.operation import halved
from opp_darts_jax.operations.target import current
from opp_darts_jax.spaces.space import Space
from opp_darts_jax.supernet.partial import PartialChannels

_EDGES = 'edges'


@memoized(8)
def pc_darts(partial: int = 4, warmup_epochs: int = 15) -> Method:
  """Partial channels, edge weights and a warm-up around DARTS.

  Args:
    partial: K: operations see a Kth of the channels.
    warmup_epochs: in which alphas and edge weights rest.

  Raises:
    UserError: unless they are whole numbers of at least 1 and 0.
  """
  whole = isinstance(partial, int) and isinstance(warmup_epochs, int)
  if not whole or partial < 1 or warmup_epochs < 0:
    raise UserError(
      'pc_darts takes whole numbers: partial of at least 1 and warmup_epochs '
      f'of at least 0; got partial={partial!r} and '
      f'warmup_epochs={warmup_epochs!r}.'
    )

  def check(config: SearchConfig, space: Space) -> None:
    del space
    check_partial(config, partial, 'pc_darts')
    if warmup_epochs >= config.epochs:
      raise UserError(
        f'epochs must be above {warmup_epochs}, in which the alphas of '
        f'pc_darts rest (warmup_epochs); got {config.epochs}.'
      )

  def begun(progress: Progress) -> jax.Array:
    return progress.epoch >= warmup_epochs

  def weights(space: Space, params: Params, mask: Tables, draw: Draw) -> Tables:
    del draw
    return scores(space, params, mask)

  return Method(
    f'pc_darts(partial={partial}, warmup_epochs={warmup_epochs})',
    init,
    weights,
    scores,
    partial=partial_channels(partial),
    trained=trained,
    trains_alphas=begun if warmup_epochs else None,
    check=check,
  )


def init(key: jax.Array, space: Space) -> Params:
  """Alphas (E, K), and `edges` {kind: (E,)}: 1e-3 N(0, 1), all of them."""
  alpha_key, edge_key = jax.random.split(key)
  keys = jax.random.split(edge_key, len(space.kinds))
  edges = {
    kind: ALPHA_SCALE * jax.random.normal(own, (space.graph.num_edges,))
    for kind, own in zip(space.kinds, keys)
  }
  return init_alphas(alpha_key, space) | {_EDGES: edges}


def trained(params: Params, mask: Tables) -> Params:
  """Alphas of active operations, and weights of edges that have any."""
  del params
  return mask | {_EDGES: {kind: m.any(1) for kind, m in mask.items()}}


def scores(space: Space, params: Params, mask: Tables) -> Tables:
  """Softmax of an edge's alphas times the edge's share of its node."""
  shares = softmax_weights(space, params, mask)
  return {
    kind: shares[kind]
    * edge_shares(space.graph, params[_EDGES][kind], mask[kind])[:, None]
    for kind in space.kinds
  }


def edge_shares(
  graph: CellGraph, edges_E: jax.Array, mask_EK: jax.Array
) -> jax.Array:
  """The softmax over the edges into each node (equation 4).

  Args:
    graph: of the cell.
    edges_E: the edges' parameters, beta.
    mask_EK: which operations are active; edges without any get 0.

  Returns:
    (E,), which sums to 1 over the edges of a node.
  """
  active_E = mask_EK.any(1)
  rows = [np.array(graph.into(node), int) for node in graph.intermediate]
  # A graph has its edges node by node.
  return jnp.concatenate(
    [masked_softmax(edges_E[into], active_E[into]) for into in rows]
  )


def partial_channels(partial: int) -> PartialChannels:
  """The first 1/K of the channels; a max pool takes the others to stride 2."""

  def split(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    seen, rest = jnp.split(x, [x.shape[-1] // partial], -1)
    return seen, rest

  def beside(rest: jax.Array, stride: int) -> jax.Array:
    if stride == 1:
      return rest
    count, *size, channels = rest.shape
    height, width = halved((size[0], size[1]), 2)
    beyond = ((0, 2 * height - size[0]), (0, 2 * width - size[1]))
    rest = jnp.pad(rest, ((0, 0), *beyond, (0, 0)), constant_values=-jnp.inf)
    return rest.reshape(count, height, 2, width, 2, channels).max((2, 4))

  def join(sums: jax.Array, rest: jax.Array) -> jax.Array:
    return shuffle(jnp.concatenate([sums, rest], -1), partial)

  return PartialChannels(lambda c: c // partial, split, beside, join)


def check_partial(config: SearchConfig, partial: int, method: str) -> None:
  """Raises `UserError` unless channels divide into the parts of a method."""
  if config.channels % partial:
    raise UserError(
      f'channels must be a multiple of {partial}, of which {method} lets '
      f'operations see one part (partial); got {config.channels}.'
    )


def shuffle(x: jax.Array, groups: int) -> jax.Array:
  """Channel g C/K + i of K groups goes to place i K + g."""
  *shape, channels = x.shape
  if current().platform == 'cpu':
    # A product is several times as fast there, and as exact.
    return jnp.matmul(
      x, _shuffled(channels, groups, x.dtype), precision='highest'
    )
  x = x.reshape(*shape, groups, channels // groups)
  return x.swapaxes(-1, -2).reshape(*shape, channels)


def _shuffled(channels: int, groups: int, dtype: Any) -> np.ndarray:
  """The matrix (C, C) of a shuffle."""
  order = np.arange(channels).reshape(groups, -1).T.ravel()
  return np.eye(channels, dtype=dtype)[:, order]
