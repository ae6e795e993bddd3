"""Architecture parameters: alphas over all operations, their mask, updates.

Alphas and masks are {'normal': (E, K), 'reduce': (E, K)} over the E edges of a
cell and all K operations of the space; the mask says which are in the supernet.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from opp_darts_jax.config import AlphaOptimizerConfig
from opp_darts_jax.genotypes import genotype as genotype_lib
from opp_darts_jax.genotypes.genotype import Genotype

Tables = dict[str, jax.Array]

CELLS = ('normal', 'reduce')
ALPHA_SCALE = 1e-3


def init_alphas(key: jax.Array, edges: int, operations: int) -> Tables:
  """Fresh alphas, 1e-3 N(0, 1), for every edge and operation."""
  return {
    cell: ALPHA_SCALE * jax.random.normal(cell_key, (edges, operations))
    for cell, cell_key in zip(CELLS, jax.random.split(key))
  }


def operation_weights(alphas: Tables, mask: Tables) -> Tables:
  """The softmax of each edge's alphas over its active operations.

  Returns:
    Weights (E, K), exactly 0 where the mask is False; they sum to 1 on every
    edge that has an active operation.
  """

  def softmax(alphas_EK, mask_EK):
    logits = jnp.where(mask_EK, alphas_EK, -1e9)
    return jnp.where(mask_EK, jax.nn.softmax(logits), 0.0)

  return jax.tree.map(softmax, alphas, mask)


def mask_inactive() -> optax.GradientTransformationExtraArgs:
  """Zeroes what reaches inactive alphas; `update` takes the mask as `mask`.

  An inactive alpha has no gradient, yet weight decay is one: Adam would turn
  it into a step of full learning rate.
  """

  def update(updates, state, params=None, *, mask, **extra):
    del params, extra
    return jax.tree.map(lambda u, m: jnp.where(m, u, 0), updates, mask), state

  return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


def alpha_optimizer(
  config: AlphaOptimizerConfig,
) -> optax.GradientTransformationExtraArgs:
  """Adam with coupled weight decay that leaves inactive alphas untouched."""
  return optax.chain(
    optax.add_decayed_weights(config.weight_decay),
    mask_inactive(),
    optax.scale_by_adam(config.b1, config.b2),
    optax.scale_by_learning_rate(config.learning_rate),
  )


def derive_genotype(
  alphas: Tables, mask: Tables, operations: Sequence[str], nodes: int
) -> Genotype:
  """The architecture that the alphas stand for (DARTS, section 2.4)."""
  weights = jax.device_get(operation_weights(alphas, mask))
  return genotype_lib.derive(
    np.asarray(weights['normal']),
    np.asarray(weights['reduce']),
    tuple(operations),
    nodes,
  )
