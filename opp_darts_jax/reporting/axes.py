"""Axes of charts: the time that a run's charts share, and scales of numbers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Record = Mapping[str, Any]
Bounds = tuple[float | None, float | None]


class Axis(NamedTuple):
  """The time axis of all charts of a run.

  Attributes:
    last: epoch (or step) at its right end.
    unit: 'epoch', or 'step' before an epoch has ended.
    per: steps of a unit.
    marks: where stages began.
  """

  last: float
  unit: str
  per: float
  marks: Sequence[float] = ()

  def of(self, record: Record) -> float:
    """Where a record stands."""
    return (record.get('step') or 0) / self.per


def time_axis(records: Sequence[Record]) -> Axis:
  """The axis on which all lines of a run have their place."""
  ends = [r for r in records if r['kind'] == 'epoch' and r.get('step')]
  per = ends[-1]['step'] / (ends[-1]['epoch'] + 1) if ends else 1.0
  last = max([r.get('step') or 0 for r in records], default=0) / per
  marks = [(r.get('step') or 0) / per for r in records if r['kind'] == 'stage']
  unit = 'epoch' if ends else 'step'
  return Axis(max(last, 1.0), unit, per, tuple(dict.fromkeys(marks)))


def nice_ticks(low: float, high: float, count: int) -> list[float]:
  """About so many round numbers from `low` to `high`."""
  span = (high - low) or abs(high) or 1.0
  raw = span / max(count, 1)
  power = 10.0 ** math.floor(math.log10(raw))
  step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= raw * 0.99)
  first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
  return [round(i * step, 12) for i in range(first, last + 1)]


def whole_ticks(last: float, count: int) -> list[float]:
  """About so many round whole numbers from 0 to `last`."""
  return [t for t in nice_ticks(0, last, count) if t == int(t)] or [0.0]


def scale(
  ys: Sequence[float], bounds: Bounds, count: int
) -> tuple[float, float, list[float]]:
  """Lower and upper end of an axis of some numbers, and about `count` ticks.

  Args:
    ys: the numbers.
    bounds: its ends where they are given; others have a margin.
    count: of ticks.
  """
  low, high = min(ys, default=0.0), max(ys, default=1.0)
  low = low if bounds[0] is None else bounds[0]
  high = high if bounds[1] is None else bounds[1]
  if high - low < 1e-9:
    high = low + (abs(low) or 1.0) * 0.1
  pad = 0.04 * (high - low)
  low = low if bounds[0] is not None else low - pad
  high = high if bounds[1] is not None else high + pad
  ticks = nice_ticks(low, high, count)
  # A single tick gives no scale.
  return (
    low,
    high,
    ticks if len(ticks) > 1 else nice_ticks(low, high, count + 2),
  )


def log_scale(powers: Sequence[float]) -> tuple[float, float, list[float]]:
  """The same of numbers from 1 that are given, and shown, as powers of 10."""
  high = max(1.0, *powers, 0.0)
  return 0.0, high, [float(t) for t in range(math.floor(high) + 1)]
