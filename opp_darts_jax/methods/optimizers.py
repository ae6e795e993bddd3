"""The optimisers of weights and of architecture parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from opp_darts_jax.config import AlphaOptimizerConfig, WeightOptimizerConfig
from opp_darts_jax.operations.target import current


def weight_optimizer(
  config: WeightOptimizerConfig,
) -> optax.GradientTransformation:
  """SGD as PyTorch's after clipping; the caller applies the learning rate."""
  return optax.chain(
    _clip_by_global_norm(config.clip_norm),
    optax.add_decayed_weights(config.weight_decay),
    optax.trace(config.momentum, config.nesterov),
  )


def _clip_by_global_norm(most: float) -> optax.GradientTransformation:
  """As optax's; where each reduction is a kernel, the norm is one of them."""
  if current().platform == 'cpu':
    return optax.clip_by_global_norm(most)

  def clip(updates: Any, params: Any) -> Any:
    del params
    norm = jnp.linalg.norm(ravel_pytree(updates)[0])
    scale = jnp.where(norm < most, 1, most / norm)
    return jax.tree.map(lambda t: (t * scale).astype(t.dtype), updates)

  return optax.stateless(clip)


def mask_inactive() -> optax.GradientTransformationExtraArgs:
  """Zeroes what reaches inactive alphas; `update` takes the mask as `mask`.

  An inactive alpha has no gradient, yet weight decay is one: Adam would turn
  it into a step of full learning rate.
  """

  def update(updates, state, params=None, *, mask, **extra):
    del params, extra
    return zero_where_not(mask, updates), state

  return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


def zero_where_not(mask: Any, tree: Any) -> Any:
  """The tree, but 0 where the mask, of its structure, is False."""
  return jax.tree.map(lambda t, m: jnp.where(m, t, 0), tree, mask)


def alpha_optimizer(
  config: AlphaOptimizerConfig,
) -> optax.GradientTransformationExtraArgs:
  """Adam with coupled weight decay that leaves inactive alphas untouched.

  Moments of alphas that were active may still move them: whoever applies the
  updates keeps what is inactive.
  """
  clip = (mask_inactive(), optax.clip_by_global_norm(config.clip_norm))
  return optax.chain(
    *(clip if config.clip_norm else ()),
    optax.add_decayed_weights(config.weight_decay),
    mask_inactive(),
    optax.scale_by_adam(config.b1, config.b2),
    optax.scale_by_learning_rate(config.learning_rate),
  )
