"""The kernels forward: lists of copies, and sums of what they give.

A copy is a place in the grid; what it is stands in tables, and one that is not
active takes no taps. Norm and ReLU of what is read are applied whenever a pixel
is read, so that neither is ever written.

Axes: B batch, H W C, S sources, N copies, T taps, D destinations, P places of
operation weights.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from opp_darts_jax.operations.accelerator.copies import (
  AVG,
  BARE,
  CONV,
  DEPTHWISE,
  KIND,
  MAX,
  MAXIMUM,
  POINTWISE,
  SOURCE,
  TAPS,
  Copies,
  tables,
)
from opp_darts_jax.operations.accelerator.edges import (
  DESTINATION,
  PLACE,
  ROW,
  ROWS,
  Edges,
  term_tables,
)
from opp_darts_jax.operations.accelerator.moments import merged
from opp_darts_jax.operations.accelerator.pallas import (
  Grid,
  call,
  channel_block,
  dot,
  flat,
  load,
  loop,
  padded,
  store,
)
from opp_darts_jax.operations.accelerator.reading import (
  Activity,
  Rows,
  active,
  centred,
  normalised,
  tap,
)
from opp_darts_jax.operations.depthwise import out_size
from opp_darts_jax.operations.norm import wide_type


class Results(NamedTuple):
  """What a list gives.

  Attributes:
    y: (N, B, H', W', C).
    mean: of each copy, (N, C); None if not asked for.
    var: likewise, biased.
    taps: int8 (M, B, H', W', C), by which tap each maximum came; None if there
      are none.
  """

  y: Any
  mean: Any = None
  var: Any = None
  taps: Any = None


def grids(copies: Copies, shape: tuple[int, ...]) -> tuple[Grid, Grid]:
  """Of sources of a shape (S, B, H, W, C), and of what copies give."""
  _, batch, height, width, _ = shape
  out = (out_size(n, copies.stride) for n in (height, width))
  return Grid((batch, height, width)), Grid((batch, *out))


def run_copies(
  copies: Copies,
  source: Rows,
  depthwise: jax.Array,
  pointwise: jax.Array,
  activity: Activity,
  rectified: bool = True,
  moments: bool = True,
  precision: str | None = None,
) -> Results:
  """Runs a list.

  Args:
    copies: it.
    source: what it reads, x (S, B, H, W, C).
    depthwise: a stack of weights (n, T', C), T' at least the list's taps.
    pointwise: a stack of matrices (n, C, C).
    activity: of the copies.
    rectified: whether convolutions rectify what they read.
    moments: whether the moments are asked for.
    precision: of the products of float32.

  Returns:
    What they give; zeros of copies that are not active.
  """
  x = source.x
  channels, dtype, wide = x.shape[-1], x.dtype, wide_type(x)
  from_grid, grid = grids(copies, x.shape)
  count = len(copies.copies)
  block = padded(channels)

  def kernel(table, activity, source, k_ref, w_ref, out):
    tile, n = pl.program_id(0), pl.program_id(1)
    about = table.about_N
    kind, s = about[n, KIND], about[n, SOURCE]
    rests = active(activity, n) == 0
    taps = jnp.where(rests, 0, about[n, TAPS])
    c, has = channel_block(channels)
    at, ok = grid.tile(tile)
    pixel = grid.split(at)

    def read(t):
      place, inside = tap(
        table.offsets_NT2, n, t, pixel, copies.stride, from_grid
      )
      inside = (inside & ok)[:, None]
      return normalised(source, s, place, inside[:, 0]), inside

    def add_tap(t, total):
      z, inside = read(t)
      if rectified:
        z = jnp.maximum(z, 0)
      weight = load(k_ref, (about[n, DEPTHWISE], t, c), has).astype(wide)
      weight = jnp.where(kind == CONV, weight, 1)
      return total + jnp.where(inside, z, 0) * weight[None]

    zeros = jnp.zeros((grid.pixels, block), wide)
    d = loop(taps * (kind <= BARE), add_tap, zeros)
    square = has[:, None] & has[None] & ~rests
    w = load(w_ref, (about[n, POINTWISE], c[:, None], c[None]), square)
    y = dot(d.astype(dtype), w.astype(dtype), precision)
    if copies.pools:
      y = pool(kind, taps, read, y, table, n, at, ok, out)
    y = y.astype(dtype)
    store(out.y, (n, at[:, None], c[None]), y, ok[:, None] & has[None])
    if not moments:
      return
    y = jnp.where(ok[:, None], y.astype(wide), 0)
    own_count = jnp.minimum(grid.pixels, grid.total - tile * grid.pixels)
    mean = y.sum(0) / own_count.astype(wide)
    squares = jnp.where(ok[:, None], y - mean[None], 0) ** 2
    store(out.mean, (tile, n, 0, c), mean, has)
    store(out.mean, (tile, n, 1, c), squares.sum(0), has)

  def pool(kind, taps, read, y, table, n, at, ok, out):
    c, has = channel_block(channels)
    zeros = jnp.zeros((grid.pixels, block), wide)

    def add_tap(t, carry):
      total, number, best, which = carry
      value, inside = read(t)
      larger = inside & (value > best)
      return (
        total + jnp.where(inside, value, 0),
        number + inside.astype(wide),
        jnp.where(larger, value, best),
        jnp.where(larger, t, which),
      )

    first = (
      zeros,
      jnp.zeros((grid.pixels, 1), wide),
      jnp.full_like(zeros, -jnp.inf),
      jnp.zeros(zeros.shape, jnp.int32),
    )
    total, number, best, which = loop(taps * (kind >= AVG), add_tap, first)
    mean = total / jnp.maximum(number, 1)
    if copies.num_max:
      here = table.about_N[n, MAXIMUM], at[:, None], c[None]
      store(
        out.taps,
        here,
        which.astype(jnp.int8),
        ok[:, None] & has[None] & (kind == MAX),
      )
    best = jnp.where(taps > 0, best, 0)
    return jnp.where(
      kind == AVG, mean, jnp.where(kind == MAX, best, y.astype(wide))
    )

  shapes = Results(
    jax.ShapeDtypeStruct((count, grid.total, channels), dtype),
    jax.ShapeDtypeStruct((grid.tiles, count, 2, channels), wide)
    if moments
    else None,
    taps=jax.ShapeDtypeStruct((copies.num_max, grid.total, channels), jnp.int8)
    if copies.num_max
    else None,
  )
  found = call(
    kernel,
    (grid.tiles, count),
    shapes,
    tables(copies),
    activity,
    source._replace(x=flat(x)),
    depthwise,
    pointwise,
  )
  found = jax.tree.map(
    lambda t: t.reshape(len(t), *grid.shape, channels),
    found._replace(mean=None),
  )._replace(mean=found.mean)
  if not moments:
    return found
  mean, var = merged(found.mean, grid)
  return found._replace(mean=mean, var=var)


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
  parts = min(grid.tiles, 32)
  each = -(-grid.tiles // parts)
  count = len(edges.terms)

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
