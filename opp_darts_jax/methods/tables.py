"""Architecture parameters as tables: alphas over all operations of a space.

Alphas and masks are {kind of cell: (E, K)} over the E edges of a cell and all K
operations of the space; the mask says which are in the supernet.
"""

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.spaces.space import Space

Tables = dict[str, jax.Array]

ALPHA_SCALE = 1e-3


def init_alphas(key: jax.Array, space: Space) -> Tables:
  """Fresh alphas, 1e-3 N(0, 1), for every edge and operation."""
  keys = jax.random.split(key, len(space.kinds))
  return {
    kind: ALPHA_SCALE * jax.random.normal(kind_key, space.table_shape)
    for kind, kind_key in zip(space.kinds, keys)
  }


def masked_softmax(logits: jax.Array, mask: jax.Array) -> jax.Array:
  """The softmax over the last axis, of what the mask has alone.

  Returns:
    Shares that sum to 1 where the mask has anything; exactly 0 elsewhere.
  """
  shares = jax.nn.softmax(jnp.where(mask, logits, -1e9))
  return jnp.where(mask, shares, 0.0)


def softmax_weights(space: Space, alphas: Tables, mask: Tables) -> Tables:
  """The softmax of each edge's alphas over its active operations (DARTS, 2)."""
  return {
    kind: masked_softmax(alphas[kind], mask[kind]) for kind in space.kinds
  }


def strongest(strength: Tables, mask: Tables, keep: int) -> Tables:
  """The mask of the `keep` strongest operations of each edge that it has.

  Of equal ones the first stay.
  """
  masks = {}
  for kind, table in strength.items():
    strength_EK = np.where(mask[kind], np.asarray(table), -np.inf)
    order_EK = np.argsort(-strength_EK, axis=1, kind='stable')
    rank_EK = np.argsort(order_EK, axis=1, kind='stable')
    masks[kind] = mask[kind] & jnp.asarray(rank_EK < keep)
  return masks
