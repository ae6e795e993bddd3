"""What a run tells the person who watches it: lines, and how far it is."""

import sys
import time
from collections.abc import Mapping
from typing import Self

import jax
from rich import console as rich_console
from rich import live
from rich.console import Group, RenderableType

from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.running.runs.standing import Standing, View, bar

_REFRESHES = 1  # a second, of what stands below the lines.


class Console:
  """Lines, and below them in a terminal what changes: a bar, and a view.

  Where nobody watches, in a job's log or a notebook, there are lines alone:
  rate and remaining time stand at the end of `progress` instead.

  Args:
    total: steps of the run.
    done: steps taken before.
    quiet: whether it shows nothing at all.
    view: what is shown above the bar; it is called from another thread.
    runs: that take turns, and are told of here.
  """

  def __init__(
    self,
    total: int,
    done: int = 0,
    quiet: bool = False,
    view: View | None = None,
    runs: int = 1,
  ):
    self._speaks = jax.process_index() == 0 and not quiet
    self._view, self._values = view, ''
    self._first, self._done, self._total = done, done, total
    self._since = time.monotonic()
    # What the first of these of a run come after had to be compiled.
    self._compiling = {'steps': runs, 'epoch': runs}
    self._live: live.Live | None = None
    if self._speaks and sys.stderr.isatty():
      terminal = rich_console.Console(file=sys.stderr, highlight=False)
      both = sys.stdout.isatty()
      self._live = live.Live(
        console=terminal,
        get_renderable=self._render,
        refresh_per_second=_REFRESHES,
        # What others print goes above; into a file it goes as it is.
        redirect_stdout=both,
        redirect_stderr=True,
      )

  def __enter__(self) -> Self:
    if self._live is not None:
      self._live.start()
      # Whatever ends the process, its terminal has a cursor.
      self._live.console.show_cursor(True)
    return self

  def __exit__(self, *exc: object) -> None:
    if self._live is not None:
      self._live.stop()

  @property
  def standing(self) -> Standing:
    """How far the run is."""
    taken = self._done - self._first
    seconds = max(time.monotonic() - self._since, 1e-6)
    rate = taken / seconds if taken else None
    return Standing(self._done, self._total, rate)

  def say(self, text: str) -> None:
    """Prints lines, above what changes."""
    if self._speaks:
      print(text, flush=True)

  def advance(self, steps: int, values: Mapping[str, float]) -> None:
    """So many further steps are taken; shows their loss and accuracy."""
    self._done += steps
    self._compiled('steps')
    self._values = ', '.join(
      f'{name} {values[f"train_{name}"]:.3f}' for name in ('loss', 'accuracy')
    )

  def progress(self, text: str) -> None:
    """Prints a line about where the run is."""
    pace = self.standing.pace
    self.say(f'{text}; {pace}' if pace and self._live is None else text)
    self._compiled('epoch')

  def _compiled(self, what: str) -> None:
    """Counts the rate from here, if this is the first of its kind of a run."""
    if self._compiling[what]:
      self._compiling[what] -= 1
      self._first, self._since = self._done, time.monotonic()

  def _render(self) -> RenderableType:
    standing = self.standing
    shown = [self._view(standing)] if self._view else []
    return Group(*shown, bar(standing), *filter(None, [self._said(standing)]))

  def _said(self, standing: Standing) -> str:
    return '; '.join(filter(None, (standing.pace, self._values)))


def epoch_line(epoch: int, metrics: Mapping[str, float]) -> str:
  """What an epoch has come to, on D_val or in a test where it ends with one."""
  said = 'epoch {}: loss {train_loss:.4f}, accuracy {train_accuracy:.4f}'
  if 'eval_loss' in metrics:
    said += '; on D_val {eval_loss:.4f}, {eval_accuracy:.4f}'
  if 'test_loss' in metrics:
    said += '; test {test_loss:.4f}, {test_accuracy:.4f}'
  return said.format(epoch, **metrics)


def loss_table(losses: Mapping[str, float], entered: tuple[str, ...]) -> str:
  """Operation losses, largest first, the operations that enter marked."""
  rows = [
    f'    {name:<14} {loss:8.4f}{"  <- enters" if name in entered else ""}'
    for name, loss in sorted(losses.items(), key=lambda row: -row[1])
  ]
  return '\n'.join(rows)


def genotype_lines(genotype: Genotype) -> str:
  """A line a cell, an edge as operation(source)."""
  return '\n'.join(
    f'    {cell.kind} '
    + ' '.join(f'{edge.operation}({edge.source})' for edge in cell.edges)
    for cell in genotype.cells
  )
