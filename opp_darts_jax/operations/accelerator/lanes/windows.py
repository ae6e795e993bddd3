"""What kernels read under the taps of a copy: rotated lanes, shifted rows.

Inside of kernels. Of one column of a window at a time, the rows of a source are
laid into memory rotated by it, as a plane, with rows around them for taps
outside of the image.

Axes: as in form.py.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from opp_darts_jax.operations.accelerator.copies import (
  BARE,
  CONV,
  MAX,
  Copies,
)
from opp_darts_jax.operations.accelerator.lanes.form import Form
from opp_darts_jax.operations.accelerator.lanes.pallas import (
  each_chunk,
  loop,
  rotated,
  widened,
)
from opp_darts_jax.operations.accelerator.lanes.tables import OfList
from opp_darts_jax.operations.norm import EPSILON, wide_type


class Ends(NamedTuple):
  """How many rows taps reach beyond the first and the last of a phase."""

  before: int
  behind: int


def ends_of(copies: Copies, stride: int) -> Ends:
  """Those of a list."""
  reach = []
  for copy in copies.copies:
    window = copy.window
    half = window.size // 2 * window.dilation
    reach += [(window.shift - half), (window.shift + half)]
  return Ends(max(0, -(min(reach) // stride)), max(0, max(reach) // stride))


class Window(NamedTuple):
  """The window of a copy, as numbers of the kernel.

  Attributes:
    form: of the source.
    size: of one axis.
    dilation: distance of neighbouring taps.
    shift: of all taps.
    kind: of the copy.
  """

  form: Form
  size: Any
  dilation: Any
  shift: Any
  kind: Any

  @classmethod
  def of(cls, form: Form, own: OfList, copy: Any) -> 'Window':
    """That of a copy."""
    columns = own.size, own.dilation, own.shift, own.kind
    return cls(form, *(column[copy] for column in columns))

  @property
  def multiplies(self) -> Any:
    """Whether the copy has a matrix."""
    return self.kind <= BARE

  def offset(self, tap: Any) -> tuple[Any, Any]:
    """Phase and rows, or columns, from a pixel to a tap of it."""
    half = lax.shift_right_logical(self.size, jnp.int32(1))
    offset = (tap - half) * self.dilation + self.shift
    if self.form.stride == 1:
      return jnp.int32(0), offset
    whole = lax.shift_right_arithmetic(offset, jnp.int32(1))
    return offset - 2 * whole, whole

  def weight(self, taps_ref: Any, tap: Any, lanes: int) -> jax.Array:
    """Of a tap, (1, L); 1 if the copy has none."""
    row = taps_ref[0, pl.ds(tap, 1), :]
    row = jnp.where(self.kind == CONV, row, jnp.ones_like(row))
    return widened(row, lanes)

  def columns(self, tap: Any) -> jax.Array:
    """Which pixels of a row have a column under a tap, bool (1, 1, L)."""
    form = self.form
    phase, whole = self.offset(tap)
    pixel = pixels(form)
    column = form.stride * (pixel + whole) + phase
    inside = (column >= 0) & (column < form.size[1])
    return inside & (pixel < form.out[1])

  def rows(self, first: Any, count: int, tap: Any) -> jax.Array:
    """Which of some rows have one under a tap, bool (r, 1, L)."""
    form = self.form
    phase, whole = self.offset(tap)
    shape = count, 1, form.lanes
    row = first + lax.broadcasted_iota(jnp.int32, shape, 0) + whole
    row = form.stride * row + phase
    return (row >= 0) & (row < form.size[0])

  def numbers(self, first: Any, count: int, wide: Any) -> jax.Array:
    """How many taps pixels of some rows have inside of the image, (r, 1, L)."""

    def add(tap, carry):
      rows, columns = carry
      return (
        rows + self.rows(first, count, tap).astype(wide),
        columns + self.columns(tap).astype(wide),
      )

    zeros = jnp.zeros((count, 1, self.form.lanes), wide)
    rows, columns = loop(self.size, add, (zeros, zeros[:1]))
    return jnp.maximum(rows * columns, 1)


def pixels(form: Form) -> jax.Array:
  """The pixel that each lane is of, int32 (1, 1, L)."""
  lane = lax.broadcasted_iota(jnp.int32, (1, 1, form.lanes), 2)
  step = form.depth.bit_length() - 1
  return lax.shift_right_logical(lane, jnp.int32(step))


def valid(form: Form, tile: Any) -> jax.Array:
  """Which images and pixels of a tile there are, bool (1, I, L)."""
  shape = 1, form.tile, form.lanes
  image = lax.broadcasted_iota(jnp.int32, shape, 1) + tile * form.tile
  return (image < form.share) & (pixels(form) < form.out[1])


class Norm(NamedTuple):
  """Mean and variance of a row, of which pixels are normalised, (1, L)."""

  mean: Any
  scale: Any

  @classmethod
  def of(cls, moments_ref: Any, row: Any, lanes: int) -> 'Norm | None':
    """Of a row of moments (n, 2, block); None if there are none."""
    if moments_ref is None:
      return None
    mean, var = (
      widened(moments_ref[row, i : i + 1, :], lanes) for i in range(2)
    )
    return cls(mean, lax.rsqrt(var + EPSILON))


def read(ref: Any, index: tuple[Any, ...], norm: Norm | None) -> jax.Array:
  """Some rows of what is there, (r, I, L), normalised."""
  x = ref[index]
  x = x.astype(wide_type(x))
  if norm is None:
    return x
  return (x - norm.mean) * norm.scale


def fill_ends(plane: Any, window: Window, ends: Ends) -> None:
  """Lays what taps find above and below an image."""
  height = window.form.out[0]
  for phase in range(window.form.stride):
    for first, count in (
      (0, ends.before),
      (ends.before + height, ends.behind),
    ):
      if count:
        shape = count, *plane.shape[2:]
        outside = jnp.full(shape, _outside(window), plane.dtype)
        plane[phase, first : first + count] = outside


def fill_plane(
  plane: Any,
  x_ref: Any,
  norm: Norm | None,
  window: Window,
  tap: Any,
  ends: Ends,
  rectified: bool,
) -> None:
  """Lays the rows of a source, rotated by a tap's column, into a plane.

  Args:
    plane: (row phases, rows, I, L).
    x_ref: (1, 1, R, I, L).
    norm: of the source.
    window: of the copy.
    tap: number of the column.
    ends: of the list.
    rectified: whether convolutions rectify what they read.
  """
  form = window.form
  height = form.out[0]
  phase, whole = window.offset(tap)
  inside = window.columns(tap)
  floor = jnp.where(window.multiplies & rectified, 0.0, -jnp.inf)
  floor = floor.astype(plane.dtype)
  outside = _outside(window).astype(plane.dtype)
  for row_phase in range(form.stride):

    def run(first, count, row_phase=row_phase):
      at = (row_phase * form.stride + phase) * height + first
      z = read(x_ref, (0, 0, pl.ds(at, count)), norm)
      z = rotated(jnp.maximum(z, floor), -whole * form.depth)
      there = inside
      if form.stride > 1 and form.size[0] % form.stride:
        shape = count, 1, form.lanes
        row = first + lax.broadcasted_iota(jnp.int32, shape, 0)
        there &= form.stride * row + row_phase < form.size[0]
      plane[row_phase, pl.ds(ends.before + first, count)] = jnp.where(
        there, z, outside
      )

    each_chunk(height, form.tile, form.lanes, run)


def _outside(window: Window) -> jax.Array:
  return jnp.where(window.kind == MAX, -jnp.inf, 0.0)


def under(
  plane: Any, window: Window, tap: Any, ends: Ends, first: Any, count: int
) -> jax.Array:
  """What is under a tap's row, of some rows of the result, (r, I, L)."""
  phase, whole = window.offset(tap)
  value: jax.Array = plane[phase, pl.ds(ends.before + first + whole, count)]
  return value
