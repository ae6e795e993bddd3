"""A run while it goes on: its folder, numbers, checkpoints and screen."""

import contextlib
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax

from opp_darts_jax.errors import NotFinished
from opp_darts_jax.recorded import METRICS, TIMES
from opp_darts_jax.running import processor
from opp_darts_jax.running.devices import any_process
from opp_darts_jax.running.runs import loop, profiler
from opp_darts_jax.running.runs.console import Console
from opp_darts_jax.running.runs.interruption import Interruption
from opp_darts_jax.running.runs.loop import Pace, Pacing, Position
from opp_darts_jax.running.runs.profiler import Profiler, Steps
from opp_darts_jax.running.runs.rounds import Shared
from opp_darts_jax.running.runs.standing import View
from opp_darts_jax.running.workdirs import sessions
from opp_darts_jax.running.workdirs.checkpoint import Checkpoints, check_new
from opp_darts_jax.running.workdirs.metrics import JsonLines, MetricsWriter
from opp_darts_jax.running.workdirs.workdir import open_workdir

Begin = Callable[[Mapping[str, Any]], Any]


class Options(NamedTuple):
  """How a run goes on; no number that comes of it depends on these.

  Attributes:
    signals: whether SIGTERM and SIGINT stop the run, instead of what they do
      where it runs: a notebook has handlers of its own.
    quiet: whether nothing is printed.
    profile_steps: the first and the last step of which a trace is made.
    view: what a terminal shows of it.
    shared: what it has in common with other runs in this process; None if it
      is alone.
  """

  signals: bool = True
  quiet: bool = False
  profile_steps: Steps | None = None
  view: View | None = None
  shared: Shared | None = None


class Run:
  """An open run; `open_run` makes one.

  It begins where its last checkpoint was made, and everything that was written
  after that is written again, the same.

  Attributes:
    folder: what is written goes there.
    screen: what the user sees.
    pace: of dispatches.
    state: to begin with.
    epoch: to begin with.
    known: what was given to `steps` and `end_epoch` beside the state; empty at
      the beginning of a run.
    step: to begin with.
    writer: of the metrics.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    config: Any,
    per_epoch: int,
    checkpoints: Checkpoints,
    asked: Callable[[], bool],
    stack: contextlib.ExitStack,
    begin: Begin,
    zeros: Any,
    options: Options,
  ) -> None:
    self.folder = folder
    self.pace: Pacing = options.shared.pace if options.shared else Pace()
    self._sharing = options.shared.running if options.shared else lambda: 1
    self._config, self._per_epoch = config, per_epoch
    self._checkpoints, self._stop_asked = checkpoints, asked
    self._stack, self._zeros = stack, zeros
    self._files: dict[str, JsonLines] = {}
    saved = checkpoints.restore(
      lambda progress: {'state': begin(progress['known']), 'sums': zeros}
    )
    if saved is None:
      check_new(folder)
      self.state, self.known, self._sizes = begin({}), {}, {}
      self.epoch, self._start = 0, Position(0, zeros, {})
    else:
      at = saved.progress
      self.state, self.known = saved.state['state'], at['known']
      self.epoch, self._sizes = at['epoch'], at['files']
      self._start = Position(at['done'], saved.state['sums'], at['totals'])
    self.step = self.epoch * per_epoch + self._start.done
    total = config.epochs * per_epoch
    self.screen = stack.enter_context(
      Console(total, self.step, options.quiet, options.view)
    )
    self.writer = stack.enter_context(
      MetricsWriter(self.lines(METRICS), folder / 'tensorboard', self.step)
    )
    self._times = self.lines(TIMES)
    self._profiler = stack.enter_context(
      Profiler(options.profile_steps, folder, self.screen.say)
    )

  def within(self, epoch: int) -> bool:
    """Whether the run goes on in the midst of an epoch, begun before."""
    return epoch == self.epoch and self._start.done > 0

  def lines(self, name: str) -> JsonLines:
    """A file of lines, which stand as they stood at the last checkpoint."""
    path = self.folder / name
    # Folders of further processes are new each time.
    size = 0 if jax.process_index() else self._sizes.get(name, 0)
    lines = self._stack.enter_context(JsonLines(path, size))
    self._files[name] = lines
    return lines

  def steps(
    self,
    dispatch: Callable[[Any, Any, int], tuple[Any, Any]],
    state: Any,
    epoch: int,
    learning_rate: float,
    known: Mapping[str, Any],
  ) -> tuple[Any, dict[str, float]]:
    """The steps of an epoch, or what is left of it; see `loop.run_epoch`.

    Raises:
      NotFinished: if the run was asked to stop; it is saved.
    """
    first, every = epoch * self._per_epoch, self._config.save_steps
    begin = time.monotonic()
    start, self._start = self._start, Position(0, self._zeros, {})
    begun = told = first + start.done

    def log(done: int, size: int, means: dict[str, float]) -> None:
      self.writer.write(
        'train', first + done, epoch, **means, learning_rate=learning_rate
      )
      self.screen.advance(size, means)

    def due(done: int) -> bool:
      return self._asked() or bool(every and (first + done) % every == 0)

    def room(done: int) -> int:
      return every - (first + done) % every if every else self._per_epoch

    def note(step: int) -> None:
      nonlocal begin, told
      now = time.monotonic()
      seconds, steps = round((now - begin) / self._sharing(), 3), step - told
      begin, told = now, step
      self._times.write({'epoch': epoch, 'steps': steps, 'seconds': seconds})

    def save(state: Any, position: Position) -> None:
      saved = first + position.done
      note(saved)  # Or a run that ends here would not tell of them.
      self._save(state, epoch, position, known)
      self.stop_if_asked(saved)

    state, means = loop.run_epoch(
      self._profiler.around(dispatch, begun),
      state,
      start,
      self._zeros,
      self._per_epoch,
      self._config.log_steps,
      self.pace,
      log,
      due,
      save,
      room,
    )
    note(first + self._per_epoch)
    return state, means

  @contextlib.contextmanager
  def timed(self, epoch: int, what: str = '') -> Iterator[None]:
    """Writes down what an epoch takes beside its steps, and for what."""
    begin = time.monotonic()
    yield
    seconds = round((time.monotonic() - begin) / self._sharing(), 3)
    named = {'what': what} if what else {}
    self._times.write({'epoch': epoch, 'steps': 0, 'seconds': seconds, **named})

  def end_epoch(self, state: Any, epoch: int, known: Mapping[str, Any]) -> None:
    """Saves what an epoch has come to.

    Args:
      state: after it.
      epoch: its number.
      known: what the next epoch needs beside the state; JSON can hold it.

    Raises:
      NotFinished: if the run was asked to stop, and this was not the end.
    """
    start = Position(0, self._zeros, {})
    self._save(state, epoch + 1, start, known)
    if epoch + 1 < self._config.epochs:
      self.stop_if_asked((epoch + 1) * self._per_epoch)

  def stop_if_asked(self, step: int) -> None:
    """Raises `NotFinished` if the run was asked to stop; `step` is saved."""
    if self._asked():
      total = self._config.epochs * self._per_epoch
      raise NotFinished(
        f'not finished, {step} of {total} steps are done and saved; the same '
        'command goes on from there.'
      )

  def _asked(self) -> bool:
    """Whether a signal has come, to any of several processes.

    JAX's own service for it wants to be asked after every single step.
    """
    return any_process(self._stop_asked())

  def _save(
    self,
    state: Any,
    epoch: int,
    position: Position,
    known: Mapping[str, Any],
  ) -> None:
    self._checkpoints.save(
      epoch * self._per_epoch + position.done,
      {'state': state, 'sums': position.sums},
      {
        'epoch': epoch,
        'done': position.done,
        'totals': position.totals,
        'files': {name: lines.size for name, lines in self._files.items()},
        'known': known,
      },
    )


@contextlib.contextmanager
def open_run(
  workdir: str | pathlib.Path,
  config: Any,
  per_epoch: int,
  begin: Begin,
  zeros: Any,
  options: Options,
  inputs: Mapping[str, Any] | None = None,
) -> Iterator[Run]:
  """Opens a workdir for a run, or for what is left of it.

  Args:
    workdir: a folder; made if it is missing.
    config: of the run.
    per_epoch: steps of an epoch.
    begin: what a run knew beside the state, {} at its beginning, -> a state of
      its form to begin with, on the devices.
    zeros: the metrics' sums before a step, likewise.
    options: as they are called, see `Options`.
    inputs: what it is made of beside its config; others are refused.

  Raises:
    UserError: if the workdir or its checkpoints cannot be used, or if there are
      no such steps.
  """
  shared = options.shared
  profiler.check(options.profile_steps, config.epochs * per_epoch)
  with contextlib.ExitStack() as stack:
    folder = stack.enter_context(open_workdir(workdir, config, inputs))
    interruption = Interruption()
    if options.signals:
      stack.enter_context(interruption)
    stack.enter_context(sessions.recorded(folder, processor.device()))
    # Of several processes all have a part in a checkpoint.
    say: Callable[[str], None] = (lambda line: None) if options.quiet else print
    say = shared.say if shared else say
    checkpoints = stack.enter_context(Checkpoints(pathlib.Path(workdir), say))
    yield Run(
      folder,
      config,
      per_epoch,
      checkpoints,
      shared.asked if shared else lambda: interruption.requested,
      stack,
      begin,
      zeros,
      options,
    )
