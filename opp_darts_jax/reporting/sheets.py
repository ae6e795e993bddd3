"""Small charts of one kind after the other, as one picture."""

from collections.abc import Sequence
from typing import NamedTuple

from opp_darts_jax.reporting.charts import Chart
from opp_darts_jax.reporting.styles import Style

SMALL = (200.0, 112.0)  # width and height of a small chart
_CHARACTER = 6.4


class Key(NamedTuple):
  """What a line stands for, where that is no operation; as a `Style` has it."""

  name: str
  css: str
  dash: str = ''
  wide: bool = False


class Panel(NamedTuple):
  """Small charts that share their keys and their scale.

  Attributes:
    name: of them all.
    keys: what their lines are.
    charts: each with a title of its own.
  """

  name: str
  keys: Sequence[Style | Key]
  charts: Sequence[Chart]


class Sheet(NamedTuple):
  """The charts of all parts as one picture.

  Attributes:
    size: width and height.
    names: (x, y, text) of the parts.
    keys: (x, y, key).
    charts: (x, y, chart), below the chart's title.
  """

  size: tuple[float, float]
  names: Sequence[tuple[float, float, str]]
  keys: Sequence[tuple[float, float, Style | Key]]
  charts: Sequence[tuple[float, float, Chart]]


def sheet(parts: Sequence[Panel], columns: int = 5) -> Sheet:
  """Puts small charts below one another, so many a row."""
  width, height, y = SMALL[0] + 10, SMALL[1] + 24, 0.0
  longest = max(len(key.name) for part in parts for key in part.keys)
  wide = 48 + _CHARACTER * longest
  a_row = max(1, int(width * columns / wide))
  names, keys, placed = [], [], []
  for part in parts:
    names.append((8.0, y + 18, part.name))
    for i, key in enumerate(part.keys):
      keys.append((8 + wide * (i % a_row), y + 38 + 16.0 * (i // a_row), key))
    y += 56 + 16.0 * ((len(part.keys) - 1) // a_row)
    for i, chart in enumerate(part.charts):
      place = width * (i % columns), y + height * (i // columns)
      placed.append((*place, chart))
    y += height * (1 + (len(part.charts) - 1) // columns)
  return Sheet((width * columns, y), names, keys, placed)
