"""Kernels of sums of rows: what reaches the nodes of a cell, and its gradient.

Axes: as in forward.py; T terms.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from opp_darts_jax.operations.accelerator.edges import (
  DESTINATION,
  PLACE,
  ROW,
  ROWS,
  Edges,
  term_tables,
)
from opp_darts_jax.operations.accelerator.pallas import (
  Grid,
  call,
  channel_block,
  flat,
  load,
  loop,
  padded,
  parts_of,
  store,
)
from opp_darts_jax.operations.accelerator.reading import (
  Rows,
  centred,
  normalised,
)
from opp_darts_jax.operations.norm import wide_type


class Given(NamedTuple):
  """What the rows of a group's terms are.

  Attributes:
    first: what its first list gave, with moments.
    second: what its second list gave; None if there is none.
    sources: what it reads, without moments.
  """

  first: Rows
  second: Rows | None
  sources: Rows

  def flat(self) -> 'Given':
    """For kernels."""
    first, second, sources = (
      None if rows is None else rows._replace(x=flat(rows.x)) for rows in self
    )
    assert first is not None
    assert sources is not None
    return Given(first, second, sources)


def each_kind(given: Given, rows: Any, run: Any, first: Any) -> Any:
  """Runs (rows, carry) -> carry for that of the three that a term is of."""

  def turn(own):
    return lambda _, carry: run(own, carry)

  for kind, own in enumerate(given):
    if own is not None:
      first = loop(rows == kind, turn(own), first)
  return first


def sum_terms(
  edges: Edges, given: Given, weights: jax.Array, mask: jax.Array
) -> jax.Array:
  """What reaches the destinations, (D, B, H, W, C).

  Args:
    edges: of the group.
    given: its rows.
    weights: of operations, (P,).
    mask: int32 (P,), 1 for those that are active.
  """
  y = given.first.x
  channels, wide = y.shape[-1], wide_type(y)
  grid = Grid(y.shape[1:4])

  table = term_tables(edges)

  def kernel(about, members, given, weights, mask, out):
    tile, d = pl.program_id(0), pl.program_id(1)
    c, has = channel_block(channels)
    at, ok = grid.tile(tile)

    def add_term(m, total):
      t = members[d, m + 1]
      row, place = about[t, ROW], about[t, PLACE]

      def add(rows, total):
        return total + normalised(rows, row, at, ok) * weights[place]

      def add_kinds(_, total):
        return each_kind(given, about[t, ROWS], add, total)

      return loop(mask[place], add_kinds, total)

    zeros = jnp.zeros((grid.pixels, padded(channels)), wide)
    total = loop(members[d, 0], add_term, zeros)
    store(out, (d, at[:, None], c[None]), total, ok[:, None] & has[None])

  found = call(
    kernel,
    (grid.tiles, edges.destinations),
    jax.ShapeDtypeStruct((edges.destinations, grid.total, channels), y.dtype),
    table.about_T,
    table.of_destination_DM,
    given.flat(),
    weights,
    mask,
  )
  return found.reshape(edges.destinations, *y.shape[1:])


def term_sums(
  edges: Edges, given: Given, g: jax.Array, mask: jax.Array
) -> jax.Array:
  """Of each term, sums over pixels, (T, 2, C).

  Of the gradient g (D, B, H, W, C) that reaches its destination; and of that
  times the row less its mean.
  """
  channels, wide = g.shape[-1], wide_type(g)
  grid = Grid(g.shape[1:4])
  count = len(edges.terms)
  parts, each = parts_of(grid.tiles, count)

  def kernel(about, given, g_ref, mask, out):
    part, t = pl.program_id(0), pl.program_id(1)
    row, d = about[t, ROW], about[t, DESTINATION]
    c, has = channel_block(channels)

    def add_tile(i, carry):
      at, ok = grid.tile(part * each + i)
      inside = ok[:, None] & has[None]
      g = load(g_ref, (d, at[:, None], c[None]), inside).astype(wide)

      def add(rows, carry):
        total, product = carry
        return total + g, product + g * centred(rows, row, at, ok)

      return each_kind(given, about[t, ROWS], add, carry)

    zeros = jnp.zeros((grid.pixels, padded(channels)), wide)
    turns = each * mask[about[t, PLACE]]
    total, product = loop(turns, add_tile, (zeros, zeros))
    store(out, (part, t, 0, c), total.sum(0), has)
    store(out, (part, t, 1, c), product.sum(0), has)

  found = call(
    kernel,
    (parts, count),
    jax.ShapeDtypeStruct((parts, count, 2, channels), wide),
    term_tables(edges).about_T,
    given.flat(),
    flat(g),
    mask,
  )
  return found.sum(0)
