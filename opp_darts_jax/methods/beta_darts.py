"""Beta-DARTS (Ye et al., "beta-DARTS: Beta-Decay Regularization for
Differentiable Architecture Search", CVPR 2022).

DARTS of first order, whose validation loss has the mean over all edges of
logsumexp(alphas) added, with a factor that grows linearly: as the gradient is
the softmax, the larger operation weights of an edge are held back.

The authors' code regularises the one table of NAS-Bench-201. With several kinds
of cells the mean here is over the edges of all of them. Their space is without
`none`: `darts_without_none`.
"""

import jax
import jax.numpy as jnp

from opp_darts_jax.errors import UserError
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.method import Draw, Method
from opp_darts_jax.methods.tables import Tables
from opp_darts_jax.spaces.space import Space


@memoized(8)
def beta_darts(strength: float = 50.0) -> Method:
  """DARTS, whose activated alphas decay.

  Args:
    strength: factor of the term at the end of the search; it begins at 0.

  Raises:
    UserError: unless it is at least 0.
  """
  if not strength >= 0:
    raise UserError(
      f'beta_darts takes strength of at least 0; got strength={strength!r}.'
    )

  def term(
    space: Space, alphas: Tables, mask: Tables, draw: Draw
  ) -> jax.Array | float:
    progress = draw.progress
    factor = strength * progress.epoch / progress.epochs
    return factor * decay(space, alphas, mask)

  return darts()._replace(
    name=f'beta_darts(strength={strength})', val_term=term
  )


def decay(space: Space, alphas: Tables, mask: Tables) -> jax.Array:
  """The mean over edges of logsumexp(alphas), of what is active.

  Edges without an active operation do not count.
  """
  total, count = jnp.zeros(()), jnp.zeros(())
  for kind in space.kinds:
    active_E = mask[kind].any(-1)
    logits_EK = jnp.where(mask[kind], alphas[kind], -1e9)
    sums_E = jax.nn.logsumexp(logits_EK, -1)
    total += jnp.where(active_E, sums_E, 0.0).sum()
    count += active_E.sum()
  return total / jnp.maximum(count, 1)
