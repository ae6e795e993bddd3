"""Kernels of sums of rows, for TPU: what reaches nodes, and its gradient.

Axes: as in form.py; T terms, D destinations, P places of operation weights.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from opp_darts_jax.operations.accelerator.edges import Edges
from opp_darts_jax.operations.accelerator.lanes.form import Form
from opp_darts_jax.operations.accelerator.lanes.forward import Rows
from opp_darts_jax.operations.accelerator.lanes.pallas import (
  Band,
  call,
  each_chunk,
  folded,
  lay,
  loop,
  over_pixels,
  whole,
)
from opp_darts_jax.operations.accelerator.lanes.tables import Tables, View
from opp_darts_jax.operations.accelerator.lanes.windows import Norm, read
from opp_darts_jax.operations.norm import wide_type


class Given(NamedTuple):
  """What the rows of a group's terms are.

  Attributes:
    first: what its first list gave, with moments.
    second: what its second list gave; None if there is none.
    sources: what it reads, without moments; None if no term is of these.
  """

  first: Rows
  second: Rows | None
  sources: Rows | None

  def parts(self) -> list[Rows | None]:
    """What a place sees of them."""

    def of(kind, rows):
      if rows is None:
        return None
      part = Band(
        rows.x,
        (1, 1, *rows.x.shape[2:]),
        lambda tile, i, view: (view.seen.row[kind][i], tile, 0, 0, 0),
      )
      return Rows(part, None if rows.moments is None else whole(rows.moments))

    return [of(kind, rows) for kind, rows in enumerate(self)]


def _each_kind(view: View, given: Any, i: Any, run: Any) -> None:
  """Runs (rows, row) for that of the three that a place's term is of."""
  for kind, rows in enumerate(given):
    if rows is not None:

      @pl.when((view.seen.adds[i] > 0) & (view.sums.rows[i] == kind))
      def turn_to(kind=kind, rows=rows):
        run(rows, view.seen.row[kind][i])


def sum_terms(edges: Edges, given: Given, tables: Tables) -> jax.Array:
  """What reaches the destinations, (D, T, R, I, L)."""
  y = given.first.x
  wide = wide_type(y)
  _, tiles, rows, images, lanes = y.shape

  def kernel(view, given, out, total):
    own = view.sums
    i = pl.program_id(1)

    @pl.when(own.first[i] > 0)
    def clear():
      lay(total, 0)

    def add(rows_of, row):
      norm = Norm.of(rows_of.moments, row, lanes)
      weight = view.weights[own.term_place[own.term[i]]]

      def run(first, count):
        here = pl.ds(first, count)
        total[here] += read(rows_of.x, (0, 0, here), norm) * weight

      each_chunk(rows, images, lanes, run)

    _each_kind(view, given, i, add)

    @pl.when(own.last[i] > 0)
    def write():
      def run(first, count):
        here = pl.ds(first, count)
        out[0, 0, here] = total[here].astype(out.dtype)

      each_chunk(rows, images, lanes, run)

  found: jax.Array = call(
    kernel,
    (tiles, tables.places[-1]),
    tables,
    given.parts(),
    Band(
      jax.ShapeDtypeStruct((edges.destinations, *y.shape[1:]), y.dtype),
      (1, 1, rows, images, lanes),
      lambda tile, i, view: (view.sums.destination[i], tile, 0, 0, 0),
    ),
    jax.ShapeDtypeStruct((rows, images, lanes), wide),
  )
  return found


def term_sums(
  edges: Edges, form: Form, given: Given, tables: Tables, g: jax.Array
) -> jax.Array:
  """Of each term, sums over pixels, (T, 3, block); form is of the sums.

  Of the gradient g (D, T, R, I, L) that reaches its destination; of that times
  the row less its mean; and times the row, normalised. 0 of terms that are not
  active.
  """
  wide = wide_type(g)
  _, tiles, rows, images, lanes = g.shape

  def kernel(view, given, out, _):
    *given, g_ref = given
    i = pl.program_id(1)

    @pl.when((pl.program_id(0) == 0) & (i == 0))
    def clear():
      lay(out, 0)

    def add(rows_of, row):
      norm = Norm.of(rows_of.moments, row, lanes)
      mean = 0 if norm is None else norm.mean[0]

      def turn(at, carry):
        total, product = carry
        g = g_ref[0, 0, at].astype(wide)
        x = rows_of.x[0, 0, at].astype(wide) - mean
        return total + g, product + g * x

      zeros = jnp.zeros((images, lanes), wide)
      sums = [
        over_pixels(folded(total, form.block), form.depth)
        for total in loop(rows, turn, (zeros, zeros))
      ]
      scale = 1 if norm is None else norm.scale[:, : form.block]
      for j, total in enumerate((*sums, sums[1] * scale)):
        out[view.sums.term[i], j : j + 1, :] += total

    _each_kind(view, given, i, add)

  found: jax.Array = call(
    kernel,
    (tiles, tables.places[-1]),
    tables,
    [
      *given.parts(),
      Band(
        g,
        (1, 1, rows, images, lanes),
        lambda tile, i, view: (view.sums.destination[i], tile, 0, 0, 0),
      ),
    ],
    whole(jax.ShapeDtypeStruct((len(edges.terms), 3, form.block), wide)),
    [],
  )
  return found
