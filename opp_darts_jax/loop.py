"""The loop over the steps of an epoch."""

import math
from collections.abc import Callable
from typing import Any

from opp_darts_jax.errors import UserError


def run_epoch(
  dispatch: Callable[[Any, int], tuple[Any, Any]],
  state: Any,
  steps: int,
  chunk: int,
  log: Callable[[int, int, dict[str, float]], None],
) -> tuple[Any, dict[str, float]]:
  """Runs the steps of an epoch, a chunk a dispatch.

  The metrics of a chunk are read while the device runs the next one.

  Args:
    dispatch: (state, number of steps) -> the new state, and a NamedTuple of
      means over these steps, `train_loss` among them.
    state: what the steps change.
    steps: in the epoch.
    chunk: steps a dispatch.
    log: called with (steps done in the epoch, steps of the chunk, means).

  Returns:
    The state, and the means over the epoch.

  Raises:
    UserError: if the training loss is not finite.
  """
  totals: dict[str, float] = {}

  def finish(done: int, size: int, means: Any) -> None:
    values = {name: float(v) for name, v in means._asdict().items()}
    if not math.isfinite(values['train_loss']):
      raise UserError(
        f'The training loss must be finite, but is {values["train_loss"]}: '
        'training has diverged; lower weights.learning_rate.'
      )
    for name, value in values.items():
      totals[name] = totals.get(name, 0.0) + value * size / steps
    log(done, size, values)

  pending = None
  for at in range(0, steps, chunk):
    size = min(chunk, steps - at)
    state, means = dispatch(state, size)
    if pending:
      finish(*pending)
    pending = (at + size, size, means)
  if pending:
    finish(*pending)
  return state, totals
