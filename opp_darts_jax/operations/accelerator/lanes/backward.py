"""The kernel backward of a list of copies, for TPU.

A place of the grid has a whole tile of images, and so computes all of a copy's
gradients at once: through its norm and matrix, of its weights, and of what it
reads. What reaches a source is summed over all who read it.

Axes: as in form.py; T taps, N copies.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from opp_darts_jax.operations.accelerator.copies import AVG, MAX, Copies
from opp_darts_jax.operations.accelerator.lanes.arriving import (
  Arriving,
  Members,
  arriving_at,
  slope_of,
)
from opp_darts_jax.operations.accelerator.lanes.form import Form
from opp_darts_jax.operations.accelerator.lanes.forward import (
  Rows,
  Weights,
  add_taps,
  source_parts,
  start,
)
from opp_darts_jax.operations.accelerator.lanes.pallas import (
  Part,
  call,
  each_chunk,
  folded,
  loop,
  outer,
  rotated,
  times,
  whole,
)
from opp_darts_jax.operations.accelerator.lanes.tables import CopyTables
from opp_darts_jax.operations.accelerator.lanes.windows import (
  Ends,
  Norm,
  Window,
  ends_of,
  fill_ends,
  fill_plane,
  read,
  under,
  valid,
)
from opp_darts_jax.operations.norm import wide_type


class Gradients(NamedTuple):
  """What the kernel gives.

  Attributes:
    x: of the sources, (S, T, R, I, L); of sources that are normalised, by the
      copy that reads each, normalised, (N, T, R, I, L).
    sums: of the latter, and times what is read less its mean, (N, 2, block).
    weights: of each copy, for every pixel of a block; None if not asked for.
  """

  x: Any
  sums: Any = None
  weights: Weights | None = None


class Tables(NamedTuple):
  """All scalars of the kernel.

  Attributes:
    list: of the list.
    members: the terms of the list's rows; of the sources.
    weights: of operations, 0 where they are not active, (P,).
    second: the row of the second list that reads each copy, or -1.
    second_seen: which of these each place sees.
  """

  list: CopyTables
  members: Members | None
  of_sources: Members | None
  weights: Any
  second: Any = None
  second_seen: Any = None


class _Scratch(NamedTuple):
  plane: Any
  total: Any
  g: Any  # Of the results.
  between: Any  # Behind the matrix, with rows around.
  read: Any  # Of what the copy reads.
  source: Any  # Of a source, by all copies.
  taps: Any  # Of taps of one column.
  which: Any  # Tap of the largest.


def gradients(
  copies: Copies,
  form: Form,
  source: Rows,
  weights: Weights,
  tables: Tables,
  arriving: Arriving,
  rectified: bool = True,
  of_weights: bool = True,
  precision: str | None = None,
) -> Gradients:
  """Runs the kernel.

  Args:
    copies: the list.
    form: of what it reads.
    source: as in `run_copies`.
    weights: likewise.
    tables: of the list.
    arriving: the gradient of what the copies gave.
    rectified: as in `run_copies`.
    of_weights: whether the weights' gradients are asked for, too.
    precision: of the products of float32.
  """
  x = source.x
  wide, dtype = wide_type(x), x.dtype
  _, tiles, rows, images, lanes = x.shape
  height = form.out[0]
  ends = ends_of(copies, form.stride)
  count, taps = len(copies.copies), weights.taps.shape[1]
  normed = source.moments is not None
  pixels = form.batch * height * form.out[1]

  def kernel(tables, given, results, scratch):
    source, weights, arriving = given
    tile, i = pl.program_id(0), pl.program_id(1)
    at, row = tables.list, tables.list.copy[i]

    @pl.when((tile == 0) & (i == 0))
    def _():
      for ref in jax.tree.leaves((results.sums, results.weights)):
        ref[...] = jnp.zeros(ref.shape, ref.dtype)

    if not normed:

      @pl.when(at.first[i] > 0)
      def _():
        scratch.source[...] = jnp.zeros(scratch.source.shape, wide)

    @pl.when(at.runs[i] > 0)
    def _():
      window = Window.of(form, at, i)
      norm = Norm.of(source.moments, at.source[i], lanes)
      second = -1 if tables.second is None else tables.second[row]
      slope = None
      if arriving.own is None:
        slope = slope_of(
          arriving,
          tables.members,
          tables.weights,
          row,
          second,
          pixels,
          lanes,
        )

      def arrived(here):
        return arriving_at(
          arriving, tables.members, tables.weights, row, second, slope, here
        )

      _through_matrix(
        scratch, arrived, valid(form, tile), weights, window, ends, precision
      )
      fill_ends(scratch.plane, window, ends)
      start(scratch.total, window)
      scratch.read[...] = jnp.zeros(scratch.read.shape, wide)

      def fill(tap):
        fill_plane(
          scratch.plane, source.x, norm, window, tap, ends, rectified
        )

      if copies.num_max:

        @pl.when(window.kind == MAX)
        def _():
          _find_largest(scratch, window, ends, fill)

      def add_column(tap, _):
        if of_weights:

          @pl.when(window.multiplies)
          def _():
            fill(tap)
            _add_weights(
              scratch, results.weights.taps, weights.taps, row, window, tap, ends
            )

        _give_back(scratch, weights.taps, window, tap, ends, copies.num_max > 0)
        return 0

      loop(window.size, add_column, 0)
      if of_weights:

        @pl.when(window.multiplies)
        def _():
          _add_matrix(scratch, results.weights.matrices, row, form, precision)

      _to_source(
        scratch, results, source.x, norm, window, row, rectified
      )

    if not normed:

      @pl.when(at.last[i] > 0)
      def _():
        _give_source(scratch, results.x, arriving, tables, at.own[i], form)

  out = count if normed else len(x)

  def at_out(tile, i, tables):
    row = tables.list.copy[i] if normed else tables.list.own[i]
    return row, tile, 0, 0, 0

  def shape(*sizes, dtype=wide):
    return jax.ShapeDtypeStruct(sizes, dtype)

  rows_around = ends.behind + height + ends.before
  outputs = Gradients(
    Part(
      shape(out, *x.shape[1:], dtype=dtype), (1, 1, rows, images, lanes), at_out
    ),
    whole(shape(count, 2, form.block)) if normed else None,
    Weights(
      whole(shape(count, taps, form.block)),
      whole(shape(count, form.block, form.block)),
    )
    if of_weights
    else None,
  )
  scratch = _Scratch(
    plane=shape(form.stride, rows_around, images, lanes),
    total=shape(height, images, lanes),
    g=shape(height, images, lanes, dtype=dtype),
    between=shape(rows_around, images, lanes),
    read=shape(rows, images, lanes),
    source=None if normed else shape(rows, images, lanes),
    taps=shape(max(c.window.size for c in copies.copies), images, lanes),
    which=shape(rows_around, images, lanes, dtype=jnp.int32)
    if copies.num_max
    else None,
  )

  def part_of(part):
    # The places of this kernel's tables are those of the list.
    return part._replace(at=lambda *args: part.at(*args[:-1], args[-1].list))

  inputs = jax.tree.map(
    part_of,
    (source_parts(source), weights.parts()),
    is_leaf=lambda t: isinstance(t, Part),
  )
  found: Gradients = call(
    kernel,
    (tiles, len(tables.list.runs)),
    tables,
    (*inputs, arriving.parts()),
    outputs,
    scratch,
  )
  return found


def _through_matrix(
  scratch: _Scratch,
  arrived: Any,
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
  def _():
    def run(first, count):
      there = pl.ds(ends.behind + first, count)
      between[there] /= window.numbers(first, count, between.dtype)

    each_chunk(height, form.tile, form.lanes, run)

  @pl.when(window.multiplies)
  def _():
    def run(first, count):
      g = scratch.g[pl.ds(first, count)]
      w = weights.matrices[0].astype(g.dtype)
      there = pl.ds(ends.behind + first, count)
      between[there] = times(g, w, precision, transposed=True)

    each_chunk(height, form.tile, form.lanes, run)


def _find_largest(
  scratch: _Scratch, window: Window, ends: Ends, fill: Any
) -> None:
  """Which tap of each pixel is the largest, the first of several."""
  form = window.form
  largest = jnp.full(scratch.which.shape, form.size[0] ** 2 + 99, jnp.int32)
  scratch.which[...] = largest

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


def _add_weights(
  scratch: _Scratch,
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
  taps[...] = jnp.zeros(taps.shape, taps.dtype)

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
    sums[row, number, :] += folded(taps[tap_row], form.block, form.depth)
    return 0

  loop(window.size, add, 0)


def _give_back(
  scratch: _Scratch,
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


def _add_matrix(
  scratch: _Scratch, sums: Any, row: Any, form: Form, precision: str | None
) -> None:
  def run(first, count):
    here = pl.ds(first, count)
    g = scratch.g[here]
    d = scratch.total[here].astype(g.dtype)
    sums[row] += outer(d, g, form.block, precision)

  each_chunk(form.out[0], form.tile, form.lanes, run)


def _to_source(
  scratch: _Scratch,
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

  for i, total in enumerate(
    lax.fori_loop(0, form.rows, add, (zeros, zeros))
  ):
    results.sums[row, i : i + 1, :] += folded(total, form.block, form.depth)


def _give_source(
  scratch: _Scratch,
  out: Any,
  arriving: Arriving,
  tables: Tables,
  source: Any,
  form: Form,
) -> None:
  """Writes what has reached a source, and what reaches it as a term."""

  def run(first, count):
    here = pl.ds(first, count)
    total = scratch.source[here]
    if tables.of_sources is not None:

      def add(_, destination, place, total):
        g = arriving.g[destination, 0, here].astype(total.dtype)
        return total + g * tables.weights[place]

      total = tables.of_sources.each(source, add, total)
    out[0, 0, here] = total.astype(out.dtype)

  each_chunk(form.rows, form.tile, form.lanes, run)
