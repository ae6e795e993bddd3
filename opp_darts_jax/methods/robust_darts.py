"""RobustDARTS (Zela et al., "Understanding and Robustifying Differentiable
Architecture Search", ICLR 2020): DARTS with early stopping.

A search stops once the largest eigenvalue of the Hessian of the validation loss
for the alphas, averaged over five measures, has grown by a factor over eight
epochs, and gives the cells of the epoch at which the earlier average was: they
generalise best while it is small. The authors search by second order, the
config's `order`.

Stronger regularisation, R-DARTS(L2), is the config's `weights.weight_decay`, 3,
9, 27 and 81 times 3e-4. What deviates: R-DARTS(DP), drop-path in the supernet,
is not built, and neither is what goes on from an earlier epoch with more
regularisation (ADA). The Hessian is of a batch of D_val that the epoch decides,
and its eigenvalue is by Lanczos iterations, to three digits.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.errors import UserError
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.growth import all_enter
from opp_darts_jax.methods.method import Method
from opp_darts_jax.methods.stages import Change, Search, Stage
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.spaces.space import Space

_WINDOW = 5  # Measures that are averaged,
_APART = 4  # and between the two averages that are compared.
_BACK = _WINDOW // 2 + _APART  # From a measure to the earlier centre.


@memoized(8)
def robust_darts(
  factor: float = 1.3, period: int = 2, first_epoch: int = 10
) -> Method:
  """DARTS that stops when curvature grows.

  Args:
    factor: of the growth at which it stops.
    period: epochs from one measure to the next.
    first_epoch: the earliest whose cells may be given.

  Raises:
    UserError: unless factor is above 0 and period at least 1.
  """
  if not factor > 0 or period < 1:
    raise UserError(
      'robust_darts takes factor above 0 and period of at least 1; got '
      f'factor={factor!r} and period={period!r}.'
    )

  def begin_epoch(
    search: Search, state: SearchState, epoch: int, stages: Sequence[Stage]
  ) -> Change:
    change = all_enter(search, state, epoch, stages)
    done = epoch - 1
    if done < 0 or done % period:
      return change
    state = change.state
    own = remember(state.own, search.curvature(state), state.alphas)
    centre = done - period * _BACK
    state = state.replace(own=own)
    if centre >= max(first_epoch, 0) and growth_of(own) > factor:
      earlier = {kind: own['alphas'][kind][0] for kind in own['alphas']}
      found = state.replace(alphas={**state.alphas, **earlier})
      return change._replace(state=found, stop=True)
    return change._replace(state=state)

  return darts()._replace(
    name=f'robust_darts(factor={factor}, period={period}, '
    f'first_epoch={first_epoch})',
    init_own=init_own,
    begin_epoch=begin_epoch,
    summary='all operations at epoch 0; it may stop early, by curvature',
  )


def init_own(space: Space, weights: Any) -> dict[str, Any]:
  """The last eigenvalues, and the alphas of the epochs of the later ones.

  The oldest comes first; 0 where nothing has been measured yet.
  """
  del weights
  shape = (_BACK + 1, space.graph.num_edges, len(space.operations))
  return {
    'curvatures': jnp.zeros(_WINDOW + _APART),
    'alphas': {kind: jnp.zeros(shape) for kind in space.kinds},
  }


def remember(
  own: dict[str, Any], curvature: float, alphas: dict[str, jax.Array]
) -> dict[str, Any]:
  """What is kept after a further measure; the oldest one goes."""

  def append(kept, new):
    return jnp.concatenate([kept[1:], jnp.asarray(new, kept.dtype)[None]])

  return {
    'curvatures': append(own['curvatures'], curvature),
    'alphas': {
      kind: append(kept, alphas[kind]) for kind, kept in own['alphas'].items()
    },
  }


def growth_of(own: dict[str, Any]) -> float:
  """The last average of eigenvalues over that of `_APART` measures before."""
  curvatures = np.asarray(own['curvatures'])
  return float(curvatures[-_WINDOW:].mean() / curvatures[:_WINDOW].mean())
