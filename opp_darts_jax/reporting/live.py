"""The page of a run while it runs, and when it has ended."""

import contextlib
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jinja2
from absl import logging

from opp_darts_jax import errors
from opp_darts_jax.recorded import METRICS, RESULTS
from opp_darts_jax.reporting import report
from opp_darts_jax.running.workdirs import sessions
from opp_darts_jax.running.workdirs.sessions import RUN

# Of a run's time, what its page may take while it runs: with the last one, in
# the end, that is less than a hundredth.
SHARE = 0.005
_FIRST = 0.15  # seconds that the first one is expected to take


class _Pages:
  """Writes pages after epochs, those of several runs too."""

  def __init__(self, clock: Callable[[], float]) -> None:
    self._clock, self._begun = clock, clock()
    self._spent, self._last = 0.0, _FIRST
    self.folders: dict[pathlib.Path, None] = {}

  def __call__(self, record: Any) -> None:
    """After an epoch, unless the pages would take too much of the time."""
    self.folders[record.workdir] = None
    gone = self._clock() - self._begun
    if self._spent + self._last <= SHARE * gone:
      self.write(record.workdir)

  def write(self, folder: pathlib.Path) -> None:
    """Writes a page; one that cannot be written ends no run."""
    begun = self._clock()
    try:
      report.write_report(folder)
    except (errors.UserError, OSError, jinja2.TemplateError) as error:
      logging.warning('The page of %s: %s', folder, errors.first_line(error))
    self._last = self._clock() - begun
    self._spent += self._last


@contextlib.contextmanager
def kept(
  workdir: str | pathlib.Path,
  writes: bool = True,
  clock: Callable[[], float] = time.monotonic,
) -> Iterator[list[Callable[[Any], None]]]:
  """Keeps `report.html` of a run, or of the runs in a folder, as they go on.

      with live.kept(workdir) as watchers:
        run_search(config, workdir, on_epoch=watchers)

  It is written after each epoch, as long as that takes no more than `SHARE` of
  the run's time, and in the end, however the run has ended. A folder in which
  no run began before an error came, as of a config that it refuses, is left
  alone.

  Args:
    workdir: of the run.
    writes: whether there are pages at all: of several processes the first one
      writes them.
    clock: seconds.

  Yields:
    Watchers, for `on_epoch` of the run.
  """
  if not writes:
    yield []
    return
  workdir = pathlib.Path(workdir)
  known = len(sessions.read(workdir))
  pages, left_alone = _Pages(clock), False
  try:
    yield [pages]
  except BaseException:
    begun = map(sessions.is_own, sessions.read(workdir)[known:])
    left_alone = not any(begun)
    raise
  finally:
    if not left_alone and _holds_run(workdir):
      pages.folders[workdir] = None
    for folder in pages.folders:
      if _is_older(folder):
        pages.write(folder)


def _holds_run(folder: pathlib.Path) -> bool:
  return (folder / METRICS).is_file() or (folder / RESULTS).is_file()


def _is_older(folder: pathlib.Path) -> bool:
  """Whether its page is missing, or older than what the run wrote last."""
  page = folder / report.PAGE
  times = [
    path.stat().st_mtime_ns
    for path in (folder / name for name in (RUN, METRICS, RESULTS))
    if path.exists()
  ]
  return not page.exists() or page.stat().st_mtime_ns <= max(times, default=0)
