"""What reaches the results of a list's copies, for the kernel backward.

Axes: as in form.py; T terms, D destinations, P places of operation weights.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from opp_darts_jax.operations.accelerator.lanes.forward import Rows
from opp_darts_jax.operations.accelerator.lanes.pallas import (
  Band,
  loop,
  whole,
  widened,
)
from opp_darts_jax.operations.accelerator.lanes.tables import Members, View
from opp_darts_jax.operations.accelerator.lanes.windows import Norm
from opp_darts_jax.operations.norm import wide_type


def each_term(
  view: View, members: Members, row: Any, run: Any, first: Any
) -> Any:
  """Runs (term, destination, weight, carry) -> carry for a row's terms."""
  start, member = members

  def turn(i, carry):
    term = member[start[row] + i]
    weight = view.weights[view.sums.term_place[term]]
    return run(term, view.sums.term_destination[term], weight, carry)

  return loop(start[row + 1] - start[row], turn, first)


class Arriving(NamedTuple):
  """What reaches the results of a list's copies.

  Attributes:
    own: the gradient itself, (N, T, R, I, L); or, if they are normalised:
    rows: the results, with their moments.
    g: of the destinations, (D, T, R, I, L).
    sums: of the terms, as of `sums.term_sums`.
    second: gradient of what the second list reads, normalised, (N', T, R, I,
      L); None if none is read.
    second_sums: likewise of that, (N', 2, block).
  """

  own: Any = None
  rows: Rows | None = None
  g: Any = None
  sums: Any = None
  second: Any = None
  second_sums: Any = None

  def parts(self, number: int) -> 'Arriving':
    """What a place of a list sees of them."""

    def at(tile, i, view):
      return view.seen.copy[number][i], tile, 0, 0, 0

    def at_second(tile, i, view):
      return view.seen.second[i], tile, 0, 0, 0

    def at_all(tile, i, view):
      return 0, tile, 0, 0, 0

    def of(x, at, count=1):
      return None if x is None else Band(x, (count, 1, *x.shape[2:]), at)

    def all_of(x):
      return None if x is None else whole(x)

    rows = self.rows
    if rows is not None:
      rows = Rows(of(rows.x, at), whole(rows.moments))
    return Arriving(
      of(self.own, at),
      rows,
      of(self.g, at_all, 0 if self.g is None else len(self.g)),
      all_of(self.sums),
      of(self.second, at_second),
      all_of(self.second_sums),
    )


class Result(NamedTuple):
  """A row of results, in a kernel.

  Attributes:
    view: of the tables.
    terms: of the list's rows.
    row: its number.
    second: the row of the second list that reads it, or -1.
  """

  view: View
  terms: Members
  row: Any
  second: Any

  def each_term(self, run: Any, first: Any) -> Any:
    """Runs (term, destination, weight, carry) -> carry."""
    return each_term(self.view, self.terms, self.row, run, first)


class Slope(NamedTuple):
  """How a gradient changes on its way through a norm, (1, L) each."""

  norm: Norm
  mean: Any
  slope: Any


def slope_of(
  arriving: Arriving, result: Result, total: int, lanes: int
) -> Slope:
  """That of a row; `total` pixels are in its norm."""
  assert arriving.rows is not None
  norm = Norm.of(arriving.rows.moments, result.row, lanes)
  assert norm is not None
  zeros = jnp.zeros((2, arriving.sums.shape[-1]), norm.mean.dtype)

  def add(term, _, weight, sums):
    return sums + arriving.sums[term, 0:2, :] * weight

  sums = result.each_term(add, zeros)
  if arriving.second is not None:

    def add_second(_, sums):
      return sums + arriving.second_sums[result.second]

    sums = loop(result.second >= 0, add_second, sums)
  mean, product = (widened(sums[i : i + 1], lanes) / total for i in range(2))
  return Slope(norm, mean, product * norm.scale * norm.scale)


def arriving_at(
  arriving: Arriving, result: Result, slope: Slope | None, here: Any
) -> jax.Array:
  """The gradient of some rows of a copy's results, (r, I, L)."""
  if arriving.own is not None:
    g: jax.Array = arriving.own[0, 0, here]
    return g.astype(wide_type(g))
  assert arriving.rows is not None
  assert slope is not None
  y = arriving.rows.x[0, 0, here]
  y = y.astype(wide_type(y))

  def add(_, destination, weight, g):
    return g + arriving.g[destination, 0, here].astype(g.dtype) * weight

  g = result.each_term(add, jnp.zeros_like(y))
  if arriving.second is not None:

    def add_second(_, g):
      return g + arriving.second[0, 0, here].astype(g.dtype)

    g = loop(result.second >= 0, add_second, g)
  y = (y - slope.norm.mean) * slope.slope
  return (g - slope.mean - y) * slope.norm.scale
