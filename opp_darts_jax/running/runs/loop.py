"""The loop over the steps of an epoch."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax

from opp_darts_jax.errors import check_finite


class Position(NamedTuple):
  """Where in an epoch a run is.

  Attributes:
    done: steps taken in it.
    sums: of the metrics, over the steps since the last line of metrics; a
      NamedTuple on the device.
    totals: of the metrics, by name, over the steps before these.
  """

  done: int
  sums: Any
  totals: Mapping[str, float]


class Pacing(Protocol):
  """What says how many steps to dispatch at once; see `Pace`."""

  size: int

  def start(self) -> None:
    """A dispatch begins, with nothing under way before it."""

  def finish(self, size: int) -> None:
    """A dispatch of `size` steps has ended, and the next one begins."""


class Pace:
  """How many steps to dispatch at once: about what a second has.

  So a run can be stopped within seconds, on any device, while dispatching costs
  next to nothing. Results do not depend on it. Several processes have to
  dispatch the same, whatever their clocks say: they go from line to line.

  Attributes:
    size: steps of the next dispatch, at most.
  """

  seconds = 1.0

  def __init__(self) -> None:
    self._fixed = jax.process_count() > 1
    self.size = sys.maxsize if self._fixed else 1
    self._since = time.monotonic()

  def start(self) -> None:
    """A dispatch begins, with nothing under way before it."""
    self._since = time.monotonic()

  def finish(self, size: int) -> None:
    """A dispatch of `size` steps has ended, and the next one begins."""
    now = time.monotonic()
    taken, self._since = now - self._since, now
    if not self._fixed:
      fits = int(size * self.seconds / max(taken, 1e-6))
      self.size = max(1, min(fits, 2 * size))


def run_epoch(
  dispatch: Callable[[Any, Any, int], tuple[Any, Any]],
  state: Any,
  start: Position,
  zeros: Any,
  steps: int,
  log_steps: int,
  pace: Pacing,
  log: Callable[[int, int, dict[str, float]], None],
  due: Callable[[int], bool],
  save: Callable[[Any, Position], None],
  room: Callable[[int], int],
) -> tuple[Any, dict[str, float]]:
  """Runs the steps of an epoch, or what is left of it.

  What a dispatch leaves is read while the device is busy with the next one.

  Args:
    dispatch: (state, sums, number of steps) -> both after these steps; the
      state that comes in is consumed. The metrics have a `train_loss`.
    state: what the steps change.
    start: where to begin; at the beginning of an epoch its sums are zero.
    zeros: the sums before a step.
    steps: in the epoch.
    log_steps: steps between two lines of metrics.
    pace: how many steps to dispatch at once.
    log: called with (steps done in the epoch, steps since the last line, the
      metrics' means over these).
    due: (steps done in the epoch) -> whether to save before going on; asked
      after each dispatch but the epoch's last.
    save: called with the state and where it stands; it may end the run.
    room: (steps done in the epoch) -> how many may be taken before it has to be
      asked whether to save.

  Returns:
    The state, and the metrics' means over the epoch.

  Raises:
    DivergedError: if the training loss is not finite.
  """
  at, sums = start.done, start.sums
  totals = dict(start.totals)
  pending: tuple[int, int, Any] | None = None

  def settle() -> None:
    nonlocal pending
    if pending is None:
      return
    done, size, sums = pending
    pending = None
    values = {n: float(v) for n, v in jax.device_get(sums)._asdict().items()}
    pace.finish(size)
    check_finite('training loss', values['train_loss'])
    since = (done - 1) % log_steps + 1
    if since == log_steps or done == steps:
      for name, value in values.items():
        totals[name] = totals.get(name, 0.0) + value
      log(done, since, {name: v / since for name, v in values.items()})

  pace.start()
  while at < steps:
    size = min(pace.size, log_steps - at % log_steps, steps - at, room(at))
    state, sums = dispatch(state, sums, size)
    at += size
    settle()
    pending = at, size, sums
    if at % log_steps == 0:
      sums = zeros
    if at < steps and due(at):
      settle()
      save(state, Position(at, sums, totals))
      pace.start()
  settle()
  return state, {name: total / steps for name, total in totals.items()}
