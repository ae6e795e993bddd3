"""What a run tells the person who watches it: lines and a progress bar."""

import sys
from collections.abc import Mapping
from typing import Self

import tqdm

from opp_darts_jax.genotype import Genotype


class Console:
  """A progress bar over the steps of a run, with lines above it.

  Args:
    total: steps of the run.
    done: steps taken before.
  """

  def __init__(self, total: int, done: int = 0):
    # In a log file a bar is a line each time: there, let it be rare.
    interval = 0.5 if sys.stderr.isatty() else 30
    self._bar = tqdm.tqdm(
      total=total,
      initial=done,
      unit='step',
      mininterval=interval,
      maxinterval=2 * interval,
      dynamic_ncols=True,
    )

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exc: object) -> None:
    self._bar.close()

  def say(self, text: str) -> None:
    """Prints lines above the bar."""
    self._bar.write(text)

  def advance(self, steps: int, values: Mapping[str, float]) -> None:
    """Moves the bar on and shows the values beside it."""
    self._bar.set_postfix(
      {name: f'{value:.3f}' for name, value in values.items()}, refresh=False
    )
    self._bar.update(steps)


def loss_table(losses: Mapping[str, float], entered: tuple[str, ...]) -> str:
  """Operation losses, largest first, the operations that enter marked."""
  rows = [
    f'    {name:<14} {loss:8.4f}{"  <- enters" if name in entered else ""}'
    for name, loss in sorted(losses.items(), key=lambda row: -row[1])
  ]
  return '\n'.join(rows)


def genotype_lines(genotype: Genotype) -> str:
  """Both cells, an edge as operation(source)."""

  def cell(entries):
    return ' '.join(f'{operation}({source})' for operation, source in entries)

  return f'    normal {cell(genotype.normal)}\n    reduce {cell(genotype.reduce)}'
