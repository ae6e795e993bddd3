"""The kernel backward of a list of copies, for TPU.

A place of the grid has a whole tile of images, and so computes all of a copy's
gradients at once: through its norm and matrix, of its weights, and of what it
reads. What reaches a source is summed over all who read it.

Axes: as in form.py; T taps, N copies.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from opp_darts_jax.operations.accelerator.copies import (
  MAX,
  Copies,
)
from opp_darts_jax.operations.accelerator.lanes.arriving import (
  Arriving,
  Result,
  arriving_at,
  slope_of,
)
from opp_darts_jax.operations.accelerator.lanes.form import Form
from opp_darts_jax.operations.accelerator.lanes.forward import (
  Rows,
  Weights,
  source_parts,
  start,
)
from opp_darts_jax.operations.accelerator.lanes.pallas import (
  Band,
  call,
  lay,
  loop,
  whole,
)
from opp_darts_jax.operations.accelerator.lanes.steps import (
  Scratch,
  add_matrix,
  add_weights,
  find_largest,
  give_back,
  give_source,
  through_matrix,
  to_source,
)
from opp_darts_jax.operations.accelerator.lanes.tables import (
  Tables,
  View,
)
from opp_darts_jax.operations.accelerator.lanes.windows import (
  Ends,
  Norm,
  Window,
  ends_of,
  fill_ends,
  fill_plane,
  valid,
)
from opp_darts_jax.operations.norm import wide_type


class Gradients(NamedTuple):
  """What the kernel gives.

  Attributes:
    x: of the sources, (S, T, R, I, L); of sources that are normalised, by the
      copy that reads each, normalised, (N, T, R, I, L).
    sums: of the latter, and times what is read less its mean, (N, 2, block).
    weights: as the stacks are, of every pixel of a block by itself; None if not
      asked for.
  """

  x: Any
  sums: Any = None
  weights: Weights | None = None


def gradients(
  copies: Copies,
  form: Form,
  source: Rows,
  weights: Weights,
  tables: Tables,
  number: int,
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
    tables: of the group.
    number: of the list, 0 or 1.
    arriving: the gradient of what the copies gave.
    rectified: as in `run_copies`.
    of_weights: whether the weights' gradients are asked for, too.
    precision: of the products of float32.
  """
  x = source.x
  _, tiles, rows, images, lanes = x.shape
  ends = ends_of(copies, form.stride)
  count = len(copies.copies)
  normed = source.moments is not None

  def kernel(view, given, results, scratch):
    *_, arriving = given
    tile, i = pl.program_id(0), pl.program_id(1)
    own, row = view.lists[number], view.seen.copy[number][i]

    @pl.when((tile == 0) & (i == 0))
    def clear_sums():
      for ref in jax.tree.leaves((results.sums, results.weights)):
        lay(ref, 0)

    if not normed:

      @pl.when(own.first[i] > 0)
      def clear_source():
        lay(scratch.source, 0)

    @pl.when(view.seen.runs[number][i] > 0)
    def run_copy():
      _run_copy(
        _Place(form, view, number, row, tile),
        *(copies, ends, given, results, scratch),
        *(rectified, of_weights, precision),
      )

    if not normed:

      @pl.when(own.last[i] > 0)
      def finish():
        reads = tables.reads_sources
        g = arriving.g if reads else None
        give_source(scratch, results.x, g, view, own.own[i], form)

  out = count if normed else len(x)

  def at_out(tile, i, view):
    seen, own = view.seen.copy[number], view.lists[number].own
    return seen[i] if normed else own[i], tile, 0, 0, 0

  def sums(*sizes):
    return whole(jax.ShapeDtypeStruct(sizes, wide_type(x)))

  outputs = Gradients(
    Band(
      jax.ShapeDtypeStruct((out, *x.shape[1:]), x.dtype),
      (1, 1, rows, images, lanes),
      at_out,
    ),
    sums(count, 2, form.block) if normed else None,
    Weights(sums(*weights.taps.shape), sums(*weights.matrices.shape))
    if of_weights
    else None,
  )
  found: Gradients = call(
    kernel,
    (tiles, tables.places[number]),
    tables,
    (
      source_parts(source, number),
      weights.parts(number),
      arriving.parts(number),
    ),
    outputs,
    _scratch(copies, form, ends, source),
  )
  return found


def _scratch(copies: Copies, form: Form, ends: Ends, source: Rows) -> Scratch:
  """What the kernel computes in."""
  *_, rows, images, lanes = source.x.shape
  height = form.out[0]
  rows_around = ends.behind + height + ends.before
  wide = wide_type(source.x)

  def shape(*sizes, dtype=wide):
    return jax.ShapeDtypeStruct((*sizes, images, lanes), dtype)

  return Scratch(
    plane=shape(form.stride, rows_around),
    total=shape(height),
    g=shape(height, dtype=source.x.dtype),
    between=shape(rows_around),
    read=shape(rows),
    source=shape(rows) if source.moments is None else None,
    taps=shape(max(c.window.size for c in copies.copies)),
    which=shape(rows_around, dtype=jnp.int32) if copies.num_max else None,
  )


class _Place(NamedTuple):
  """A place of the grid whose copy is active.

  Attributes:
    form: of what the list reads.
    view: of the tables.
    number: of the list.
    row: the copy.
    tile: of the batch.
  """

  form: Form
  view: View
  number: int
  row: Any
  tile: Any


def _run_copy(
  place: _Place,
  copies: Copies,
  ends: Ends,
  given: Any,
  results: Any,
  scratch: Scratch,
  rectified: bool,
  of_weights: bool,
  precision: str | None,
) -> None:
  """All gradients of a tile of a copy."""
  form, view, number, row, tile = place
  source, weights, arriving = given
  own = view.lists[number]
  window = Window.of(form, own, row)
  norm = Norm.of(source.moments, own.source[row], form.lanes)
  result = Result(view, own.terms, row, own.second[row])
  slope = None
  if arriving.own is None:
    slope = slope_of(arriving, result, form.pixels, form.lanes)

  def arrived(here):
    return arriving_at(arriving, result, slope, here)

  through_matrix(
    scratch, arrived, valid(form, tile), weights, window, ends, precision
  )
  fill_ends(scratch.plane, window, ends)
  start(scratch.total, window)
  lay(scratch.read, 0)

  def fill(tap):
    fill_plane(scratch.plane, source.x, norm, window, tap, ends, rectified)

  if copies.num_max:

    @pl.when(window.kind == MAX)
    def find():
      find_largest(scratch, window, ends, fill)

  def add_column(tap, _):
    if of_weights:

      @pl.when(window.multiplies)
      def add_own_weights():
        fill(tap)
        sums, at = results.weights.taps, own.depthwise[row]
        add_weights(scratch, sums, weights.taps, at, window, tap, ends)

    give_back(scratch, weights.taps, window, tap, ends, copies.num_max > 0)
    return 0

  loop(window.size, add_column, 0)
  if of_weights:

    @pl.when(window.multiplies)
    def add_own_matrix():
      sums = results.weights.matrices
      add_matrix(scratch, sums, own.pointwise[row], form, precision)

  to_source(scratch, results, source.x, norm, window, row, rectified)
