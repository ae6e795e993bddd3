"""A trace of some steps of a run, by `jax.profiler`, to be looked at."""

import pathlib
from collections.abc import Callable
from typing import Any, Self

import jax

from opp_darts_jax.errors import UserError, first_line

FOLDER = 'profile'

Steps = tuple[int, int]
Dispatch = Callable[[Any, Any, int], tuple[Any, Any]]


def parse(text: str) -> Steps | None:
  """The steps that `--profile_steps` names; None if it names none.

  Raises:
    UserError: unless it is two whole numbers, 'a,b'.
  """
  if not text:
    return None
  first, _, last = text.partition(',')
  if not (first.strip().isdecimal() and last.strip().isdecimal()):
    raise UserError(
      '--profile_steps takes the first and the last step to be traced, such as '
      f'10,12; got {text!r}.'
    )
  return int(first), int(last)


def check(steps: Steps | None, total: int) -> None:
  """Raises `UserError` unless these are steps of a run of `total` steps."""
  if steps is None:
    return
  first, last = steps
  if not 1 <= first <= last <= total:
    raise UserError(
      'profile_steps must be the first and the last step to be traced, of 1 to '
      f'{total}, the steps of the run; got {first},{last}.'
    )


class Profiler:
  """Traces the steps of a run from one to another; a context manager.

  Numbers do not change: traced steps are dispatched one by one, which results
  do not depend on. What else happens between the first and the last of them,
  such as an evaluation, is in the trace. Their program is compiled before it
  begins, except for a stream, which has no empty dispatch.

  Args:
    steps: the first and the last, counted from 1; None traces nothing. Those
      that a run took before it went on are not taken again.
    folder: of the run; the trace is in a folder of its own there.
    say: told, in a line, where it is.
  """

  def __init__(
    self, steps: Steps | None, folder: pathlib.Path, say: Callable[[str], None]
  ) -> None:
    self._steps, self._folder, self._say = steps, folder / FOLDER, say
    self._begun = self._taken = 0  # the first and the newest traced step

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exc_info: object) -> None:
    if self._begun:  # The run ends before the last of them.
      self._stop()
    elif self._steps and not self._taken:
      first, last = self._steps
      self._say(f'no profile: no step of {first} to {last} was taken here')

  def around(self, dispatch: Dispatch, taken: int) -> Dispatch:
    """A dispatch that also traces those of its steps that shall be.

    Args:
      dispatch: (state, sums, number of steps) -> both after these steps.
      taken: steps of the run before the next dispatch.
    """
    if self._steps is None or taken >= self._steps[1]:
      return dispatch
    first, last = self._steps

    def traced(state: Any, sums: Any, count: int) -> tuple[Any, Any]:
      nonlocal taken
      end = taken + count
      if before := min(end, max(first - 1, taken)) - taken:
        state, sums = dispatch(state, sums, before)
        taken += before
      while taken < min(end, last):
        if not self._begun:
          state, sums = jax.block_until_ready(dispatch(state, sums, 0))
          self._start(taken + 1)
        taken += 1
        self._taken = taken
        with jax.profiler.StepTraceAnnotation('step', step_num=taken):
          state, sums = dispatch(state, sums, 1)
        if taken == last:
          jax.block_until_ready((state, sums))
          self._stop()
      if taken < end:
        state, sums = dispatch(state, sums, end - taken)
        taken = end
      return state, sums

    return traced

  def _start(self, step: int) -> None:
    try:
      jax.profiler.start_trace(self._folder)
    except RuntimeError as error:  # There is one in a process at a time.
      raise UserError(
        'profile_steps needs that no other trace of this process is under way; '
        f'got: {first_line(error)}.'
      ) from error
    self._begun = step

  def _stop(self) -> None:
    jax.profiler.stop_trace()
    self._say(
      f'profile of steps {self._begun} to {self._taken}: {self._folder}, for '
      'XProf; its *.trace.json.gz for ui.perfetto.dev'
    )
    self._begun = 0
