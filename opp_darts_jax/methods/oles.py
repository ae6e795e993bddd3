"""OLES (Jiang et al., "Operation-Level Early Stopping for Robustifying
Differentiable NAS", NeurIPS 2023): DARTS, whose operations stop one by one
(freezing.py).

What deviates, besides: the authors derive with `none` as a candidate; here the
rule of the space holds.
"""

from opp_darts_jax.config import ScheduleConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.freezing import freezing
from opp_darts_jax.methods.method import Method


@memoized(8)
def oles(threshold: float = 0.4, window: int = 20) -> Method:
  """DARTS, whose operations rest once they overfit.

  Args:
    threshold: of the mean agreement, below which an instance rests.
    window: steps over which it is averaged.

  Raises:
    UserError: unless the window is at least 1.
  """
  if window < 1:
    raise UserError(f'oles takes window of at least 1; got window={window!r}.')
  method = freezing(
    darts(), ScheduleConfig(), threshold=threshold, window=window
  )
  return method._replace(name=f'oles(threshold={threshold}, window={window})')
