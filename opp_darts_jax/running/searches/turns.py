"""Several jobs in one process, one at a time, that ask for things together.

Each job is a plain function in a thread of its own, so that it needs to know
nothing of the others; yet never do two of them run at once. A job runs until it
asks for something and rests until it gets it. Once all of them rest or have
ended, a round is over, and some get what they asked for: those whose questions
go together may be answered by one program.

Which job runs when depends on what they ask alone, not on clocks: processes
that do the same meet in the same places.
"""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

# What a job gets to ask with: question -> its answer, at a later round.
Ask = Callable[[Any], Any]
# (questions by job, of all that have not ended) -> answers, to one at least.
Serve = Callable[[Mapping[int, Any]], Mapping[int, Any]]


class Ended(NamedTuple):
  """What a job came to.

  Attributes:
    result: what it returned; None if it raised.
    error: what it raised; None if it returned.
  """

  result: Any
  error: BaseException | None


class Abandoned(BaseException):  # noqa: N818
  """Raised where a job asks, once all of them have to end.

  No `Exception`: what a job handles shall not keep it going.
  """


def take_turns(
  jobs: Sequence[Callable[[Ask], Any]],
  serve: Serve,
  expected: tuple[type[Exception], ...] = (),
  fatal: tuple[type[Exception], ...] = (),
) -> list[Ended]:
  """Runs all jobs to their ends.

  Args:
    jobs: each is given what it asks with.
    serve: answers questions, in the thread that calls this.
    expected: errors that end one job alone; any other ends all of them, as
      does what `serve` raises.
    fatal: those of the expected ones that end all of them, too.

  Returns:
    What became of each job.

  Raises:
    BaseException: whatever a job raised that was not expected.
  """
  threads = [_Job(job) for job in jobs]
  rests: dict[int, Any] = {}
  answers: Mapping[int, Any] = dict.fromkeys(range(len(jobs)))
  try:
    while answers:
      for number in sorted(answers):
        job = threads[number]
        asked = job.go_on(answers[number])
        if job.ended is None:
          rests[number] = asked
          continue
        error = job.ended.error
        if error and (
          not isinstance(error, expected) or isinstance(error, fatal)
        ):
          raise error
      answers = serve(dict(rests)) if rests else {}
      for number in answers:
        del rests[number]
  finally:
    for job in threads:
      job.abandon()
  return [job.ended for job in threads if job.ended is not None]


class _Job:
  """A job in its thread, which rests until it is told to go on."""

  def __init__(self, job: Callable[[Ask], Any]) -> None:
    self.ended: Ended | None = None
    self._job = job
    self._rests = True
    self._told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    self._said: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # Of no job a process waits for that is ended at once.
    threading.Thread(target=self._run, daemon=True).start()

  def go_on(self, answer: Any) -> Any:
    """Gives the answer, and waits until the job asks again or ends."""
    self._rests = False
    self._told.put(answer)
    return self._wait()

  def abandon(self) -> None:
    """Makes the job end, if it has not: it cleans up after itself."""
    if not self._rests:  # Waiting for it was interrupted.
      self._wait()
    while self.ended is None:
      self.go_on(Abandoned())

  def _wait(self) -> Any:
    said = self._said.get()
    self._rests = True
    if isinstance(said, Ended):
      self.ended = said
    return said

  def _ask(self, question: Any) -> Any:
    self._said.put(question)
    return self._listen()

  def _listen(self) -> Any:
    answer = self._told.get()
    if isinstance(answer, Abandoned):
      raise answer
    return answer

  def _run(self) -> None:
    try:
      self._listen()
      ended = Ended(self._job(self._ask), None)
    except BaseException as error:  # noqa: BLE001 The caller is told of it.
      ended = Ended(None, error)
    self._said.put(ended)
