"""Operation weights by chance: samples of the choice that alphas stand for."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods.method import Progress
from opp_darts_jax.methods.stages import Search
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.tables import masked_softmax
from opp_darts_jax.spaces.space import Space


def key_of_each(key: jax.Array, space: Space) -> dict[str, jax.Array]:
  """{kind of cell: a key of its own}."""
  return dict(zip(space.kinds, jax.random.split(key, len(space.kinds))))


def gumbel_softmax(
  key: jax.Array,
  alphas_EK: jax.Array,
  mask_EK: jax.Array,
  temperature: float | jax.Array,
) -> jax.Array:
  """A relaxed sample of one active operation an edge.

  softmax((alpha + Gumbel noise) / temperature), of Jang et al., "Categorical
  Reparameterization with Gumbel-Softmax", ICLR 2017. Its largest entry is
  distributed as the softmax of the alphas, whatever the temperature.

  Returns:
    (E, K), whose rows sum to 1; 0 where the mask is False.
  """
  noise_EK = jax.random.gumbel(key, alphas_EK.shape)
  return masked_softmax((alphas_EK + noise_EK) / temperature, mask_EK)


def straight_through(soft_EK: jax.Array, mask_EK: jax.Array) -> jax.Array:
  """1 for the largest entry of a row, else 0; its gradient is that of `soft`.

  Rows without an active operation are 0.
  """
  strongest = jax.nn.one_hot(soft_EK.argmax(-1), soft_EK.shape[-1])
  # Not 1 - soft + soft, which rounds: only an exact 0 is left out of a pass.
  hard_EK = jnp.where(mask_EK, strongest, 0.0)
  return hard_EK + (soft_EK - jax.lax.stop_gradient(soft_EK))


def linear(progress: Progress, first: float, last: float) -> jax.Array:
  """From `first` in the first epoch to `last` in the last, linearly."""
  share = progress.epoch / max(progress.epochs - 1, 1)
  return first + (last - first) * share


def told(
  heat: Callable[[Progress], float | jax.Array],
) -> Callable[[Search, SearchState, Genotype], dict[str, float]]:
  """The `numbers` of a method: the temperature of the epoch that has ended.

  Args:
    heat: progress -> temperature.
  """

  def numbers(
    search: Search, state: SearchState, found: Genotype
  ) -> dict[str, float]:
    del found
    epoch = jnp.maximum(state.step // search.per_epoch - 1, 0)
    progress = Progress(state.step, epoch, search.config.epochs)
    return {'temperature': float(heat(progress))}

  return numbers
