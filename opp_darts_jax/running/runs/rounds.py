"""What runs that take turns have in common: a pace, and a wish to stop.

Both change between two rounds of turns alone, so that all runs see the same and
dispatch the same.
"""

from collections.abc import Callable
from typing import NamedTuple

from opp_darts_jax.running.runs.loop import Pace, Pacing


class Shared(NamedTuple):
  """What a run has from outside, instead of its own.

  Attributes:
    pace: of its dispatches.
    asked: whether it shall save and stop.
    say: prints a line about it.
    running: how many runs share the time of the wall.
  """

  pace: Pacing
  asked: Callable[[], bool]
  say: Callable[[str], None]
  running: Callable[[], int]


class Rounds:
  """The pace of runs that take turns (a `Pacing`), and whether they shall stop.

  A dispatch of several runs takes as long as the round that it is in.

  Args:
    asked: whether all of them shall stop.

  Attributes:
    size: steps of a run's next dispatch, at most.
    stops: whether all shall stop, as far as they know.
  """

  def __init__(self, asked: Callable[[], bool]) -> None:
    self._asked, self._pace = asked, Pace()
    self._finished = 0
    self._begun = False
    self.size, self.stops = self._pace.size, False

  def next(self) -> None:
    """A round is over."""
    self._settle()
    self._begun = False
    self.size, self.stops = self._pace.size, self._asked()

  def start(self) -> None:
    """A run begins a dispatch with nothing under way before it."""
    self._settle()
    self._begun = True
    self._pace.start()

  def finish(self, size: int) -> None:
    """A dispatch of a run has ended: as a rule, those of the others too."""
    # After a pause of another run, this one's time is not that of a dispatch.
    if not self._begun:
      self._finished = max(self._finished, size)

  def _settle(self) -> None:
    if self._finished:
      self._pace.finish(self._finished)
      self._finished = 0
