"""How far a run is, and how a terminal shows it."""

from collections.abc import Callable
from typing import NamedTuple

from rich import progress_bar, table
from rich.console import RenderableType


class Standing(NamedTuple):
  """How far a run is.

  Attributes:
    done: steps taken.
    total: of the run.
    rate: steps a second, by those of this process after what was compiled for
      the first of them; None before.
  """

  done: int
  total: int
  rate: float | None = None

  @property
  def pace(self) -> str:
    """Rate and remaining time; '' before the first step."""
    if not self.rate:
      return ''
    left = clock((self.total - self.done) / self.rate)
    return f'{self.rate:.2f} step/s, {left} left'


View = Callable[[Standing], RenderableType]


def bar(standing: Standing, label: str = '') -> RenderableType:
  """A line as wide as the terminal: a bar, and how much is done."""
  done, total = standing.done, standing.total
  line = table.Table.grid(padding=(0, 1), expand=True)
  line.add_column(no_wrap=True)
  line.add_column(ratio=1)
  line.add_column(no_wrap=True, justify='right')
  line.add_row(
    label or 'all',
    progress_bar.ProgressBar(total=max(total, 1), completed=done),
    f'{done:,}/{total:,} {done / max(total, 1):4.0%}',
  )
  return line


def clock(seconds: float) -> str:
  """Seconds as MM:SS, or H:MM:SS."""
  minutes, seconds = divmod(int(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  start = f'{hours}:' if hours else ''
  return f'{start}{minutes:02d}:{seconds:02d}'
