"""The kernel forward of a list of copies, for TPU.

A copy is a place of the grid, beside all others of its tile of images, so that
a source is read once for all who read it. Norm and ReLU of what is read are
applied in the kernel, and moments are kept in it.

Axes: as in form.py; T taps, N copies.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from opp_darts_jax.operations.accelerator.copies import AVG, MAX, Copies
from opp_darts_jax.operations.accelerator.lanes.form import Form
from opp_darts_jax.operations.accelerator.lanes.pallas import (
  Band,
  call,
  each_chunk,
  folded,
  lay,
  loop,
  over_pixels,
  times,
  whole,
)
from opp_darts_jax.operations.accelerator.lanes.tables import Tables
from opp_darts_jax.operations.accelerator.lanes.windows import (
  Ends,
  Norm,
  Window,
  ends_of,
  fill_ends,
  fill_plane,
  pixels,
  under,
  valid,
)
from opp_darts_jax.operations.norm import wide_type


class Rows(NamedTuple):
  """A list of images, and what they are normalised by if anything.

  Attributes:
    x: (n, T, R, I, L).
    moments: mean and biased variance, (n, 2, block), or None.
  """

  x: Any
  moments: Any = None


class Weights(NamedTuple):
  """Of the copies, for every pixel of a block.

  Attributes:
    taps: (n, T, block).
    matrices: (n, block, block).
  """

  taps: Any
  matrices: Any

  def parts(self, number: int) -> 'Weights':
    """What a place sees of them, of the first list (0) or the second."""

    def of(array, name):
      def at(_, i, view):
        rows = getattr(view.lists[number], name)
        return rows[view.seen.copy[number][i]], 0, 0

      return Band(array, (1, *array.shape[1:]), at)

    return Weights(of(self.taps, 'depthwise'), of(self.matrices, 'pointwise'))


def source_parts(source: Rows, number: int) -> Rows:
  """What a place sees of the sources of a list."""

  def at(tile, i, view):
    copy = view.seen.copy[number][i]
    return view.lists[number].source[copy], tile, 0, 0, 0

  part = Band(source.x, (1, 1, *source.x.shape[2:]), at)
  return Rows(part, None if source.moments is None else whole(source.moments))


def run_copies(
  copies: Copies,
  form: Form,
  source: Rows,
  weights: Weights,
  tables: Tables,
  number: int,
  rectified: bool = True,
  moments: bool = True,
  precision: str | None = None,
) -> Rows:
  """Runs the list.

  Args:
    copies: it.
    form: of what it reads.
    source: that, (S, T, R, I, L).
    weights: of the copies.
    tables: of the group.
    number: of the list, 0 or 1.
    rectified: whether convolutions rectify what they read.
    moments: whether the moments are asked for.
    precision: of the products of float32.

  Returns:
    What the copies give, unknown of copies that rest; their moments are 0.
  """
  x = source.x
  wide, dtype = wide_type(x), x.dtype
  _, tiles, _, images, lanes = x.shape
  height = form.out[0]
  ends = ends_of(copies, form.stride)
  count = len(copies.copies)

  def kernel(view, given, results, scratch):
    source, weights = given
    own, seen = view.lists[number], view.seen
    plane, total = scratch
    tile, i = pl.program_id(0), pl.program_id(1)
    if moments:

      @pl.when((tile == 0) & (i == 0))
      def clear_moments():
        lay(results.moments, 0)

    @pl.when(seen.runs[number][i] > 0)
    def run_copy():
      row = seen.copy[number][i]
      window = Window.of(form, own, row)
      norm = Norm.of(source.moments, own.source[row], lanes)
      fill_ends(plane, window, ends)
      start(total, window)

      def add_column(tap, _):
        fill_plane(plane, source.x, norm, window, tap, ends, rectified)
        add_taps(total, plane, weights.taps, window, tap, ends)
        return 0

      loop(window.size, add_column, 0)
      _give(results.x, total, weights.matrices, window, precision)
      if moments:
        _add_moments(results.moments, row, results.x, form, tile)

  shape = count, tiles, height, images, lanes
  outputs = Rows(
    Band(
      jax.ShapeDtypeStruct(shape, dtype),
      (1, 1, *shape[2:]),
      lambda tile, i, view: (view.seen.copy[number][i], tile, 0, 0, 0),
    ),
    whole(jax.ShapeDtypeStruct((count, 2, form.block), wide))
    if moments
    else None,
  )
  plane = form.stride, ends.before + height + ends.behind, images, lanes
  found: Rows = call(
    kernel,
    (tiles, tables.places[number]),
    tables,
    (source_parts(source, number), weights.parts(number)),
    outputs,
    [
      jax.ShapeDtypeStruct(plane, wide),
      jax.ShapeDtypeStruct(shape[2:], wide),
    ],
  )
  return found


def start(total: Any, window: Window) -> None:
  """Lays what taps are added to, or are compared with."""
  lay(total, jnp.where(window.kind == MAX, -jnp.inf, 0.0))


def add_taps(
  total: Any, plane: Any, taps_ref: Any, window: Window, tap: Any, ends: Ends
) -> None:
  """Adds the taps of a window's column to what they give; or the largest."""
  form = window.form

  @pl.when(window.kind != MAX)
  def add_sums():
    def run(first, count):
      here = pl.ds(first, count)

      def add(row, carry):
        weight = window.weight(taps_ref, row * window.size + tap, form.lanes)
        z = under(plane, window, row, ends, first, count)
        return carry + z * weight

      total[here] = loop(window.size, add, total[here])

    each_chunk(form.out[0], form.tile, form.lanes, run)

  @pl.when(window.kind == MAX)
  def compare():
    def run(first, count):
      here = pl.ds(first, count)

      def add(row, carry):
        return jnp.maximum(carry, under(plane, window, row, ends, first, count))

      total[here] = loop(window.size, add, total[here])

    each_chunk(form.out[0], form.tile, form.lanes, run)


def _give(
  y_ref: Any, total: Any, matrix_ref: Any, window: Window, precision: Any
) -> None:
  form, dtype = window.form, y_ref.dtype

  @pl.when(window.multiplies)
  def multiply():
    def run(first, count):
      here = pl.ds(first, count)
      d = total[here].astype(dtype)
      y = times(d, matrix_ref[0].astype(dtype), precision)
      y_ref[0, 0, here] = y.astype(dtype)

    each_chunk(form.out[0], form.tile, form.lanes, run)

  @pl.when(window.kind == AVG)
  def divide():
    def run(first, count):
      here = pl.ds(first, count)
      y = total[here] / window.numbers(first, count, total.dtype)
      y_ref[0, 0, here] = y.astype(dtype)

    each_chunk(form.out[0], form.tile, form.lanes, run)

  @pl.when(window.kind == MAX)
  def take_largest():
    def run(first, count):
      here = pl.ds(first, count)
      # Pixels beyond the last have no tap.
      y = jnp.where(pixels(form) < form.out[1], total[here], 0)
      y_ref[0, 0, here] = y.astype(dtype)

    each_chunk(form.out[0], form.tile, form.lanes, run)


def _add_moments(
  moments: Any, row: Any, y_ref: Any, form: Form, tile: Any
) -> None:
  """Merges a tile's moments into those of the tiles before it.

  As by Chan, Golub and LeVeque (1979), so that one pass is as exact as two.
  """
  wide = moments.dtype
  inside = valid(form, tile)
  height, width = form.out
  before = jnp.minimum(tile * form.tile, form.share)
  own = jnp.minimum(form.share - before, form.tile)
  scale = float(height * width)
  before, own = (n.astype(wide) * scale for n in (before, own))
  zeros = jnp.zeros((form.tile, form.lanes), wide)

  def sums(of):
    total = _total(y_ref, inside, of, form, zeros)
    return over_pixels(folded(total, form.block), form.depth)

  mean = sums(lambda y: y) / own
  lanes = jnp.concatenate([mean] * (form.lanes // form.block), -1)
  square = sums(lambda y: (y - lanes) ** 2)
  mean_before, var_before = (moments[row, i : i + 1, :] for i in range(2))
  both = before + own
  distance = mean - mean_before
  between = distance * distance * (before * own / both)
  moments[row, 0:1, :] = mean_before + distance * (own / both)
  moments[row, 1:2, :] = (var_before * before + square + between) / both


def _total(y_ref, inside, of, form, zeros):
  """Sums over rows of a function of what is there, (I, L)."""

  def add(row, total):
    y = of(y_ref[0, 0, row].astype(zeros.dtype))
    return total + jnp.where(inside[0], y, 0)

  return lax.fori_loop(0, form.out[0], add, zeros)
