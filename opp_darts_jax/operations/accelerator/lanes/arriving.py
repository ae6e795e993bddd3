"""What reaches the results of a list's copies, for the kernel backward.

Axes: as in form.py; T terms, D destinations, P places of operation weights.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.operations.accelerator.edges import DESTINATION, PLACE
from opp_darts_jax.operations.accelerator.lanes.forward import Rows
from opp_darts_jax.operations.accelerator.lanes.pallas import (
  Part,
  loop,
  whole,
  widened,
)
from opp_darts_jax.operations.accelerator.lanes.windows import Norm
from opp_darts_jax.operations.norm import wide_type


class Members(NamedTuple):
  """The terms of each row of a list, all int32: tables of scalars.

  Attributes:
    start: of each row's terms among `term`, (N + 1,).
    term: the terms, row after row.
    destination: of each term.
    place: of its weight.
  """

  start: Any
  term: Any
  destination: Any
  place: Any

  @classmethod
  def of(cls, about_T: np.ndarray, members_NM: np.ndarray) -> 'Members':
    """From tables of `edges.term_tables`."""
    own = [row[1 : row[0] + 1] for row in members_NM]
    start = np.cumsum([0, *map(len, own)])
    # A table is never empty.
    term = np.concatenate([*own, [0]])
    columns = start, term, about_T[:, DESTINATION], about_T[:, PLACE]
    return cls(*(jnp.asarray(column, jnp.int32) for column in columns))

  def each(self, row: Any, run: Any, first: Any) -> Any:
    """Runs (term, destination, place, carry) -> carry."""

    def turn(i, carry):
      term = self.term[self.start[row] + i]
      return run(term, self.destination[term], self.place[term], carry)

    return loop(self.start[row + 1] - self.start[row], turn, first)


class Arriving(NamedTuple):
  """What reaches the results of a list's copies.

  Attributes:
    own: the gradient itself, (N, T, R, I, L); or, if they are normalised:
    rows: the results, with their moments.
    g: of the destinations, (D, T, R, I, L).
    sums: of the terms: of g, and of g times the row less its mean, (T, 2,
      block).
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

  def parts(self) -> 'Arriving':
    """What a place sees of them; tables hold `second_at` of each place."""

    def row(x):
      if x is None:
        return None
      return Part(
        x,
        (1, 1, *x.shape[2:]),
        lambda tile, i, t: (t.list.copy[i], tile, 0, 0, 0),
      )

    def second(x):
      return Part(
        x,
        (1, 1, *x.shape[2:]),
        lambda tile, i, t: (t.second_seen[i], tile, 0, 0, 0),
      )

    def tile_of_all(x):
      return Part(
        x,
        (len(x), 1, *x.shape[2:]),
        lambda tile, i, t: (0, tile, 0, 0, 0),
      )

    def maybe(of, x):
      return None if x is None else of(x)

    rows = None
    if self.rows is not None:
      rows = Rows(row(self.rows.x), whole(self.rows.moments))
    return Arriving(
      row(self.own),
      rows,
      maybe(tile_of_all, self.g),
      maybe(whole, self.sums),
      maybe(second, self.second),
      maybe(whole, self.second_sums),
    )


class Slope(NamedTuple):
  """How a gradient changes on its way through a norm, (1, L) each."""

  norm: Norm
  mean: Any
  slope: Any


def slope_of(
  arriving: Arriving,
  members: Members,
  weights: Any,
  row: Any,
  second: Any,
  total: int,
  lanes: int,
) -> Slope:
  """That of a row; `total` pixels are in its norm."""
  assert arriving.rows is not None
  norm = Norm.of(arriving.rows.moments, row, lanes)
  assert norm is not None
  zeros = jnp.zeros(arriving.rows.moments.shape[1:], norm.mean.dtype)

  def add(term, _, place, sums):
    return sums + arriving.sums[term] * weights[place]

  sums = members.each(row, add, zeros)
  if arriving.second is not None:

    def add_second(_, sums):
      return sums + arriving.second_sums[second]

    sums = loop(second >= 0, add_second, sums)
  mean, product = (widened(sums[i : i + 1], lanes) / total for i in range(2))
  return Slope(norm, mean, product * norm.scale * norm.scale)


def arriving_at(
  arriving: Arriving,
  members: Members,
  weights: Any,
  row: Any,
  second: Any,
  slope: Slope | None,
  here: Any,
) -> jax.Array:
  """The gradient of some rows of a copy's results, (r, I, L)."""
  if arriving.own is not None:
    g = arriving.own[0, 0, here]
    return g.astype(wide_type(g))
  assert arriving.rows is not None
  assert slope is not None
  y = arriving.rows.x[0, 0, here]
  y = y.astype(wide_type(y))

  def add(_, destination, place, g):
    return g + arriving.g[destination, 0, here].astype(g.dtype) * weights[place]

  g = members.each(row, add, jnp.zeros_like(y))
  if arriving.second is not None:

    def add_second(_, g):
      return g + arriving.second[0, 0, here].astype(g.dtype)

    g = loop(second >= 0, add_second, g)
  y = (y - slope.norm.mean) * slope.slope
  return (g - slope.mean - y) * slope.norm.scale
