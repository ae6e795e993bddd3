"""What a run tells the person who watches it: lines and a progress bar."""

import io
import sys
from collections.abc import Mapping
from typing import Self

import jax
import tqdm

from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.operations.cpu import native


class Console:
  """A progress bar over the steps of a run, with lines above it.

  Where nobody watches, in a job's log, there is no bar: rate and remaining time
  stand at the end of `progress` instead.

  Args:
    total: steps of the run.
    done: steps taken before.
    quiet: whether it shows nothing at all.
  """

  def __init__(self, total: int, done: int = 0, quiet: bool = False):
    self._speaks = jax.process_index() == 0 and not quiet
    # A notebook is watched, though its output is no terminal.
    looks = sys.stderr.isatty() or 'ipykernel' in sys.modules
    self._watched = looks and self._speaks
    self._bar = tqdm.tqdm(
      total=total,
      initial=done,
      unit='step',
      file=sys.stderr if self._watched else io.StringIO(),
      dynamic_ncols=True,
    )

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exc: object) -> None:
    self._bar.close()

  def say(self, text: str) -> None:
    """Prints lines above the bar."""
    if self._watched:
      self._bar.write(text)
    elif self._speaks:
      print(text, flush=True)

  def advance(self, steps: int, values: Mapping[str, float]) -> None:
    """Moves the bar on and shows training loss and accuracy beside it."""
    shown = {
      name: f'{values[f"train_{name}"]:.3f}' for name in ('loss', 'accuracy')
    }
    self._bar.set_postfix(shown, refresh=False)
    self._bar.update(steps)

  def progress(self, text: str) -> None:
    """Prints a line about where the run is."""
    state = self._bar.format_dict
    taken = state['n'] - state['initial']
    if not self._watched and taken:
      rate = taken / state['elapsed']
      left = self._bar.format_interval((state['total'] - state['n']) / rate)
      text += f'; {rate:.2f} step/s, {left} left'
    self.say(text)


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


def device() -> str:
  """What programs run on, and on CPU whose kernels they call."""
  first = jax.devices()[0]
  text = f'{first.device_kind} ({first.platform})'
  if jax.device_count() > 1:
    text = f'{jax.device_count()} of {text}'
    if jax.process_count() > 1:
      text += f' in {jax.process_count()} processes'
  if first.platform != 'cpu':
    return text
  if native.available('first_order', 'float32'):
    return f'{text}, C++ kernels'
  if jax.device_count() > 1:
    return f"{text}, XLA's kernels"
  return f"{text}, XLA's kernels: no C++ compiler has built the faster ones"
