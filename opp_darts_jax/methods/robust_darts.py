"""RobustDARTS (Zela et al., "Understanding and Robustifying Differentiable
Architecture Search", ICLR 2020): DARTS that stops early, by curvature
(early_stopping.py).

The authors search by second order, the config's `order`. Stronger
regularisation, R-DARTS(L2), is the config's `weights.weight_decay`, 3, 9, 27
and 81 times 3e-4. What deviates: R-DARTS(DP), drop-path in the supernet, is not
built, and neither is what goes on from an earlier epoch with more
regularisation (ADA).
"""

from opp_darts_jax.config import ScheduleConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.early_stopping import early_stopping
from opp_darts_jax.methods.method import Method


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
  stopping = early_stopping(
    darts(),
    ScheduleConfig(),
    factor=factor,
    period=period,
    first_epoch=first_epoch,
  )
  return stopping._replace(
    name=f'robust_darts(factor={factor}, period={period}, '
    f'first_epoch={first_epoch})'
  )
