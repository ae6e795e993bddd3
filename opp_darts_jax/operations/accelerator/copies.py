"""What the copies of a list are: which source each reads, and how.

A list of copies of convolutions and pools is one kernel, and what each copy is
stands in tables: kinds, sizes and dilations differ in numbers alone. The tables
are constants of a program.

Axes: N copies, S sources, T taps.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# What copies do with the pixels of their taps. All but pools rectify them, and
# multiply their sum by a matrix.
CONV, BARE, AVG, MAX = range(4)
POOLS = (AVG, MAX)


class Window(NamedTuple):
  """The taps of a copy.

  Attributes:
    size: of one axis, odd.
    dilation: distance of neighbouring taps, in pixels.
    shift: of all taps, down and to the right.
  """

  size: int
  dilation: int = 1
  shift: int = 0

  @property
  def taps(self) -> int:
    """How many there are."""
    return self.size**2


class Copy(NamedTuple):
  """One of a list.

  Attributes:
    kind: `CONV`, a separable unit; `BARE`, whose taps have the weight 1; `AVG`
      or `MAX`, a pool.
    window: its taps.
    source: that it reads.
    depthwise: its row in the stack of such weights; 0 if it has none.
    pointwise: likewise.
  """

  kind: int
  window: Window
  source: int
  depthwise: int = 0
  pointwise: int = 0

  @property
  def multiplies(self) -> bool:
    """Whether it has a matrix."""
    return self.kind not in POOLS


class Copies(NamedTuple):
  """A list of copies.

  Attributes:
    copies: they.
    stride: of all of them.
    num_sources: how many there are.
    num_depthwise: rows of the stack of depthwise weights.
    num_pointwise: likewise.
  """

  copies: tuple[Copy, ...]
  stride: int
  num_sources: int
  num_depthwise: int
  num_pointwise: int

  @property
  def taps(self) -> int:
    """The most that a copy has."""
    return max(copy.window.taps for copy in self.copies)

  @property
  def pools(self) -> bool:
    """Whether there are any."""
    return any(copy.kind in POOLS for copy in self.copies)

  @property
  def num_max(self) -> int:
    """How many keep which of their taps was the largest."""
    return sum(copy.kind == MAX for copy in self.copies)

  def repeated(self, times: int) -> 'Copies':
    """As many lists, one after the other; so are all that they take."""
    _, stride, sources, depthwise, pointwise = self
    copies = tuple(
      copy._replace(
        source=copy.source + i * sources,
        depthwise=copy.depthwise + i * depthwise,
        pointwise=copy.pointwise + i * pointwise,
      )
      for i in range(times)
      for copy in self.copies
    )
    counts = (times * count for count in (sources, depthwise, pointwise))
    return Copies(copies, stride, *counts)


# Columns of `Tables.about_N`.
SOURCE, TAPS, KIND, DEPTHWISE, POINTWISE, MAXIMUM = range(6)


class Tables(NamedTuple):
  """Copies as the kernels read them, int32.

  Attributes:
    about_N: of each copy, the columns above: `MAXIMUM` is its row among those
      that keep a tap.
    offsets_NT2: rows and columns from a pixel to each tap.
    readers_SM: the copies that read each source, after how many there are.
  """

  about_N: np.ndarray
  offsets_NT2: np.ndarray
  readers_SM: np.ndarray


@functools.cache
def tables(copies: Copies) -> Tables:
  """The tables of copies."""
  about, maxima = [], 0
  offsets_NT2 = np.zeros((len(copies.copies), copies.taps, 2), np.int32)
  for offsets_T2, copy in zip(offsets_NT2, copies.copies):
    window = copy.window
    own = copy.source, window.taps, copy.kind, copy.depthwise, copy.pointwise
    about.append((*own, maxima))
    maxima += copy.kind == MAX
    span = (np.arange(window.size) - window.size // 2) * window.dilation
    grid = np.stack(np.meshgrid(span, span, indexing='ij'), -1)
    offsets_T2[: window.taps] = grid.reshape(-1, 2) + window.shift
  sources = [copy.source for copy in copies.copies]
  return Tables(
    np.array(about, np.int32),
    offsets_NT2,
    grouped(sources, copies.num_sources),
  )


def grouped(groups: Sequence[int], count: int) -> np.ndarray:
  """Of each group how many members it has, and these, filled up with 0."""
  members = [
    [member for member, group in enumerate(groups) if group == own]
    for own in range(count)
  ]
  most = max(map(len, members), default=0)
  filled = [[len(own), *own, *[0] * (most - len(own))] for own in members]
  return np.array(filled, np.int32).reshape(count, most + 1)
