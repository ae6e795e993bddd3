"""Steps of the kernel backward of a list of copies, for TPU.

Axes: as in form.py; T taps, N copies.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from opp_darts_jax.operations.accelerator.copies import AVG, CONV, MAX
from opp_darts_jax.operations.accelerator.lanes.arriving import each_term
from opp_darts_jax.operations.accelerator.lanes.form import Form
from opp_darts_jax.operations.accelerator.lanes.forward import (
  Weights,
  add_taps,
)
from opp_darts_jax.operations.accelerator.lanes.pallas import (
  each_chunk,
  folded,
  lay,
  loop,
  outer,
  over_pixels,
  rotated,
  times,
)
from opp_darts_jax.operations.accelerator.lanes.tables import View
from opp_darts_jax.operations.accelerator.lanes.windows import (
  Ends,
  Norm,
  Window,
  read,
  under,
)

_NO_TAP = 1 << 20  # More than there are.


class Scratch(NamedTuple):
  """What a place keeps to itself.

  Attributes:
    plane: rows of a source, as `fill_plane` lays them.
    total: what the taps give, (H', I, L).
    g: the gradient of the results, (H', I, L).
    between: that behind the matrix, with rows of 0 around.
    read: that of what the copy reads, (R, I, L).
    source: that of a source, by all its copies; None if there is one each.
    taps: that of the taps of a column, (k, I, L).
    which: the tap of the largest, as `between`; None if none is asked for.
  """

  plane: Any
  total: Any
  g: Any
  between: Any
  read: Any
  source: Any
  taps: Any
  which: Any


def through_matrix(
  scratch: Scratch,
  arrived: Callable[[Any], jax.Array],
  inside: jax.Array,
  weights: Weights,
  window: Window,
  ends: Ends,
  precision: str | None,
) -> None:
  """Lays the gradient of the results, and that behind the matrix."""
  form, between = window.form, scratch.between
  height = form.out[0]
  for first, count in ((0, ends.behind), (ends.behind + height, ends.before)):
    if count:
      shape = count, *between.shape[1:]
      between[first : first + count] = jnp.zeros(shape, between.dtype)

  def run(first, count):
    here = pl.ds(first, count)
    g = jnp.where(inside, arrived(here), 0)
    scratch.g[here] = g.astype(scratch.g.dtype)
    between[pl.ds(ends.behind + first, count)] = g

  each_chunk(height, form.tile, form.lanes, run)

  @pl.when(window.kind == AVG)
  def divide():
    def run(first, count):
      there = pl.ds(ends.behind + first, count)
      between[there] /= window.numbers(first, count, between.dtype)

    each_chunk(height, form.tile, form.lanes, run)

  @pl.when(window.multiplies)
  def multiply():
    def run(first, count):
      g = scratch.g[pl.ds(first, count)]
      w = weights.matrices[0].astype(g.dtype)
      there = pl.ds(ends.behind + first, count)
      between[there] = times(g, w, precision, transposed=True)

    each_chunk(height, form.tile, form.lanes, run)


def find_largest(
  scratch: Scratch, window: Window, ends: Ends, fill: Callable[[Any], None]
) -> None:
  """Which tap of each pixel is the largest, the first of several."""
  form = window.form
  lay(scratch.which, _NO_TAP)

  def add_column(tap, _):
    fill(tap)

    def run(first, count):
      here = pl.ds(first, count)
      there = pl.ds(ends.behind + first, count)

      def add(row, carry):
        best, which = carry
        value = under(scratch.plane, window, row, ends, first, count)
        number = row * window.size + tap
        larger = (value > best) | ((value == best) & (number < which))
        return (
          jnp.where(larger, value, best),
          jnp.where(larger, number, which),
        )

      scratch.total[here], scratch.which[there] = loop(
        window.size, add, (scratch.total[here], scratch.which[there])
      )

    each_chunk(form.out[0], form.tile, form.lanes, run)
    return 0

  loop(window.size, add_column, 0)


def add_weights(
  scratch: Scratch,
  sums: Any,
  taps_ref: Any,
  row: Any,
  window: Window,
  tap: Any,
  ends: Ends,
) -> None:
  """Adds a column's taps to the gradient of their weights, and their sum."""
  form, taps = window.form, scratch.taps
  add_taps(scratch.total, scratch.plane, taps_ref, window, tap, ends)
  lay(taps, 0)

  def run(first, count):
    g = scratch.between[pl.ds(ends.behind + first, count)]

    def add(tap_row, _):
      z = under(scratch.plane, window, tap_row, ends, first, count)
      taps[tap_row] += (z * g).sum(0)
      return 0

    loop(window.size, add, 0)

  each_chunk(form.out[0], form.tile, form.lanes, run)

  def add(tap_row, _):
    number = pl.ds(tap_row * window.size + tap, 1)
    sums[row, number, :] += folded(taps[tap_row], form.block)
    return 0

  # The others' taps have no weights.
  loop(window.size * (window.kind == CONV), add, 0)


def give_back(
  scratch: Scratch,
  taps_ref: Any,
  window: Window,
  tap: Any,
  ends: Ends,
  maxima: bool,
) -> None:
  """Adds what a column's taps give back to what the copy reads."""
  form = window.form
  height = form.out[0]
  phase, moved = window.offset(tap)
  inside = window.columns(tap)
  for row_phase in range(form.stride):

    def run(first, count, row_phase=row_phase):
      def add(row, carry):
        own, rows = window.offset(row)
        weight = window.weight(taps_ref, row * window.size + tap, form.lanes)
        here = pl.ds(ends.behind + first - rows, count)
        g = scratch.between[here]
        if maxima:
          chosen = scratch.which[here] == row * window.size + tap
          g = jnp.where(chosen | (window.kind != MAX), g, 0)
        if form.stride > 1:
          weight = jnp.where(own == row_phase, weight, 0)
        return carry + g * weight

      shape = count, form.tile, form.lanes
      g = loop(window.size, add, jnp.zeros(shape, scratch.read.dtype))
      g = rotated(jnp.where(inside, g, 0), moved * form.depth)
      at = (row_phase * form.stride + phase) * height + first
      scratch.read[pl.ds(at, count)] += g

    each_chunk(height, form.tile, form.lanes, run)


def add_matrix(
  scratch: Scratch, sums: Any, row: Any, form: Form, precision: str | None
) -> None:
  """Adds a tile's to the gradient of a matrix."""

  def run(first, count):
    here = pl.ds(first, count)
    g = scratch.g[here]
    d = scratch.total[here].astype(g.dtype)
    sums[row] += outer(d, g, form.block, precision)

  each_chunk(form.out[0], form.tile, form.lanes, run)


def to_source(
  scratch: Scratch,
  results: Any,
  x_ref: Any,
  norm: Norm | None,
  window: Window,
  row: Any,
  rectified: bool,
) -> None:
  """Through the ReLU; to what is read, or to its source."""
  form = window.form

  def run(first, count):
    here = pl.ds(first, count)
    g = scratch.read[here]
    if rectified:
      passes = read(x_ref, (0, 0, here), norm) > 0
      g = jnp.where(passes | ~window.multiplies, g, 0)
    if norm is None:
      scratch.source[here] += g
    else:
      scratch.read[here] = g
      results.x[0, 0, here] = g.astype(results.x.dtype)

  each_chunk(form.rows, form.tile, form.lanes, run)
  if norm is None:
    return
  zeros = jnp.zeros((form.tile, form.lanes), scratch.read.dtype)

  def add(at, carry):
    total, product = carry
    g = scratch.read[at]
    x = x_ref[0, 0, at].astype(g.dtype) - norm.mean
    return total + g, product + g * x

  for i, total in enumerate(lax.fori_loop(0, form.rows, add, (zeros, zeros))):
    total = over_pixels(folded(total, form.block), form.depth)
    results.sums[row, i : i + 1, :] += total


def give_source(
  scratch: Scratch, out: Any, g_ref: Any, view: View, source: Any, form: Form
) -> None:
  """Writes what has reached a source, and what reaches it as a term."""

  def run(first, count):
    here = pl.ds(first, count)
    total = scratch.source[here]
    if g_ref is not None:

      def add(_, destination, weight, total):
        return total + g_ref[destination, 0, here].astype(total.dtype) * weight

      total = each_term(view, view.sums.of_sources, source, add, total)
    out[0, 0, here] = total.astype(out.dtype)

  each_chunk(form.rows, form.tile, form.lanes, run)
