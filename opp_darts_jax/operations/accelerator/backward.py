"""The kernels backward: what reaches a list's copies, and then its sources.

One kernel takes the gradient through norm and matrix, and gives those of both
weights in parts; one lets each pixel of a source ask all who read it.

Axes: as in forward.py.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
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
  TermTables,
)
from opp_darts_jax.operations.accelerator.forward import grids
from opp_darts_jax.operations.accelerator.pallas import (
  call,
  channel_block,
  divide,
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
  scale_of,
  tap,
)
from opp_darts_jax.operations.norm import wide_type

# Programs among which the pixels of a copy are divided for its weights.
_PARTS = 16


class FromTerms(NamedTuple):
  """What reaches rows by the sums of a group.

  Attributes:
    g: of its destinations, (D, B, H, W, C).
    weights: of operations, (P,).
    mask: int32 (P,).
    about_T: of `TermTables`.
    terms_NM: how many terms each row has, and these.
    sums: of the terms, (T, 2, C).
  """

  g: Any
  weights: Any
  mask: Any
  about_T: Any
  terms_NM: Any
  sums: Any


class FromSecond(NamedTuple):
  """What reaches rows of a first list by the second.

  Attributes:
    g: of what the second reads, normalised, (N', B, H, W, C).
    sums: over its pixels, and of g times the row less its mean, (N', 2, C).
    second_N: of `TermTables`.
  """

  g: Any
  sums: Any
  second_N: Any


class Arriving(NamedTuple):
  """What reaches the results of a list's copies.

  Attributes:
    own: the gradient itself, (N, B, H, W, C); or, if they are normalised:
    rows: the results, with their moments.
    terms: what reaches them when they are normalised.
    second: likewise.
  """

  own: Any = None
  rows: Any = None
  terms: FromTerms | None = None
  second: FromSecond | None = None

  def flat(self) -> 'Arriving':
    """For kernels."""

    def of(part, name):
      if part is None:
        return None
      return part._replace(**{name: flat(getattr(part, name))})

    own = None if self.own is None else flat(self.own)
    return Arriving(
      own, of(self.rows, 'x'), of(self.terms, 'g'), of(self.second, 'g')
    )


def _weighed(
  terms: FromTerms, members: Any, n: Any, run: Any, first: Any
) -> Any:
  """Runs (term, its weight, carry) -> carry for the active terms of a row."""

  def add_term(m, carry):
    t = members[n, m + 1]
    place = terms.about_T[t, PLACE]

    def add(_, carry):
      return run(t, terms.weights[place], carry)

    return loop(terms.mask[place], add, carry)

  return loop(members[n, 0], add_term, first)


def _arriving(
  arriving: Arriving, n: Any, at: Any, ok: Any, total: int
) -> jax.Array:
  """The gradient of a copy's results (batch normalisation's, too)."""
  refs = arriving.own if arriving.own is not None else arriving.rows.x
  c, has = channel_block(refs.shape[-1])
  inside = ok[:, None] & has[None]
  here = at[:, None], c[None]
  if arriving.own is not None:
    g = load(arriving.own, (n, *here), inside)
    return g.astype(wide_type(g))
  wide = arriving.rows.var.dtype

  def zeros(*shape):
    return jnp.zeros((*shape, len(c)), wide)

  carry = zeros(len(at)), zeros(), zeros()
  if arriving.terms is not None:
    terms = arriving.terms

    def add_term(t, weight, carry):
      g, total, product = carry
      d = terms.about_T[t, DESTINATION]
      return (
        g + load(terms.g, (d, *here), inside).astype(wide) * weight,
        total + load(terms.sums, (t, 0, c), has) * weight,
        product + load(terms.sums, (t, 1, c), has) * weight,
      )

    carry = _weighed(terms, terms.terms_NM, n, add_term, carry)
  if arriving.second is not None:
    second = arriving.second
    row = second.second_N[n]

    def add_second(_, carry):
      g, total, product = carry
      return (
        g + load(second.g, (row, *here), inside).astype(wide),
        total + load(second.sums, (row, 0, c), has),
        product + load(second.sums, (row, 1, c), has),
      )

    carry = loop(row >= 0, add_second, carry)
  g, mean, product = carry
  scale = scale_of(arriving.rows, n)
  slope = (product / total)[None] * scale * scale
  y = centred(arriving.rows, n, at, ok)
  g = (g - (mean / total)[None] - y * slope) * scale
  return jnp.where(inside, g, 0)


class Between(NamedTuple):
  """What the first kernel gives.

  Attributes:
    g: behind the matrices, or of what pools give, (N, B, H', W', C).
    depthwise: the gradient of each copy's weights, (N, T, C), or None.
    pointwise: likewise, (N, C, C).
  """

  g: Any
  depthwise: Any = None
  pointwise: Any = None


def through_matrices(
  copies: Copies,
  source: Rows,
  depthwise: jax.Array,
  pointwise: jax.Array,
  activity: Activity,
  arriving: Arriving,
  rectified: bool = True,
  weights: bool = True,
  precision: str | None = None,
  shares: int = 1,
) -> Between:
  """The first kernel; what it takes is as in `run_copies`.

  Args:
    arriving: the gradient of what the copies gave.
    weights: whether the weights' gradients are asked for, too.
    shares: into how many parts the batch is divided, of which this is one.
  """
  x = source.x
  channels, dtype, wide = x.shape[-1], x.dtype, wide_type(x)
  from_grid, grid = grids(copies, x.shape)
  count = len(copies.copies)
  block, taps_block = padded(channels), padded(copies.taps)
  parts = min(grid.tiles, _PARTS) if weights else grid.tiles
  each = -(-grid.tiles // parts)

  def kernel(table, activity, source, k_ref, w_ref, arriving, out):
    part, n = pl.program_id(0), pl.program_id(1)
    about = table.about_N
    kind, s = about[n, KIND], about[n, SOURCE]
    c, has = channel_block(channels)
    square = has[:, None] & has[None]
    w = load(w_ref, (about[n, POINTWISE], c[:, None], c[None]), square)
    w = w.astype(dtype)

    def add_tile(i, carry):
      at, ok = grid.tile(part * each + i)
      inside = ok[:, None] & has[None]
      pixel = grid.split(at)

      def under(t):
        place, there = tap(
          table.offsets_NT2, n, t, pixel, copies.stride, from_grid
        )
        return place, there & ok

      g = _arriving(arriving, n, at, ok, shares * grid.total)
      rounded = g.astype(dtype)
      d = dot(rounded, w.T, precision).astype(wide)
      if copies.pools:

        def count_tap(t, number):
          return number + under(t)[1].astype(wide)

        number = loop(
          about[n, TAPS] * (kind == AVG), count_tap, jnp.zeros(len(at), wide)
        )
        pooled = jnp.where(kind == AVG, g / jnp.maximum(number, 1)[:, None], g)
        d = jnp.where(kind >= AVG, pooled, d)
      store(out.g, (n, at[:, None], c[None]), d, inside)
      if not weights:
        return carry
      k_sums, w_sums = carry

      def add_tap(t, carry):
        total, k_sums = carry
        place, there = under(t)
        z = normalised(source, s, place, there)
        if rectified:
          z = jnp.maximum(z, 0)
        z = jnp.where(there[:, None], z, 0)
        weight = load(k_ref, (about[n, DEPTHWISE], t, c), has).astype(wide)
        weight = jnp.where(kind == CONV, weight, 1)
        # The sums of all taps are kept together: each is a row.
        own = (jnp.arange(taps_block) == t)[:, None]
        k_sums += jnp.where(own, (z * d).sum(0)[None], 0)
        return total + z * weight[None], k_sums

      total, k_sums = loop(
        about[n, TAPS] * (kind <= BARE), add_tap, (jnp.zeros_like(d), k_sums)
      )
      w_sums += dot(total.astype(dtype).T, rounded, precision)
      return k_sums, w_sums

    zeros = (
      jnp.zeros((taps_block, block), wide),
      jnp.zeros((block, block), wide),
    )
    turns = each * active(activity, n)
    sums = loop(turns, add_tile, zeros if weights else 0)
    if weights:
      first = 0
      for own in sums:
        rows = first + jnp.arange(own.shape[0])
        here = part, n, rows[:, None], jnp.arange(block)[None]
        store(out.depthwise, here, own, True)
        first += own.shape[0]

  shapes = Between(
    jax.ShapeDtypeStruct((count, grid.total, channels), dtype),
    jax.ShapeDtypeStruct((parts, count, taps_block + block, block), wide)
    if weights
    else None,
  )
  found = call(
    kernel,
    (parts, count),
    shapes,
    tables(copies),
    activity,
    source._replace(x=flat(x)),
    depthwise,
    pointwise,
    arriving.flat(),
  )
  g = found.g.reshape(count, *grid.shape, channels)
  if not weights:
    return Between(g)
  sums = found.depthwise.sum(0)[..., :channels]
  return Between(
    g,
    sums[:, : copies.taps],
    sums[:, taps_block : taps_block + channels],
  )


def to_sources(
  copies: Copies,
  source: Rows,
  depthwise: jax.Array,
  activity: Activity,
  between: jax.Array,
  taps: jax.Array | None = None,
  rectified: bool = True,
  terms: FromTerms | None = None,
) -> tuple[jax.Array, jax.Array | None]:
  """The second kernel.

  Args:
    copies: the list.
    source: as in `run_copies`.
    depthwise: likewise.
    activity: likewise.
    between: of the first kernel.
    taps: of the maxima.
    rectified: as in `run_copies`.
    terms: of sources that are themselves summed.

  Returns:
    The gradient of the sources, (S, B, H, W, C), and None. Of sources that are
    normalised, which one copy reads each: the gradient of what each copy reads,
    normalised, (N, B, H, W, C), and sums of it over the pixels, times 1 and
    times what is read less its mean, (N, 2, C).
  """
  x = source.x
  channels, dtype, wide = x.shape[-1], x.dtype, wide_type(x)
  grid, from_grid = grids(copies, x.shape)
  block = padded(channels)
  normed = source.mean is not None
  table = tables(copies)
  count = len(copies.copies) if normed else copies.num_sources
  parts = (grid.tiles, count, 2, channels) if normed else None

  def kernel(table, activity, source, k_ref, g_ref, taps_ref, terms, out):
    tile, row = pl.program_id(0), pl.program_id(1)
    about, offsets, readers = table
    s = about[row, SOURCE] if normed else row
    c, has = channel_block(channels)
    at, ok = grid.tile(tile)
    inside = ok[:, None] & has[None]
    image, height, width = grid.split(at)

    def add_reader(m, carry):
      n = row if normed else readers[row, m + 1]
      kind = about[n, KIND]
      turns = about[n, TAPS] * active(activity, n)

      def at_tap(t):
        there = ok
        ends = []
        for axis, place in enumerate((height, width)):
          end = place - offsets[n, t, axis]
          there &= end >= 0
          end, rest = divide(end, copies.stride)
          there &= rest == 0
          ends.append(end)
        place, exists = from_grid.join(image, *ends)
        there = (there & exists)[:, None] & has[None]
        return (place[:, None], c[None]), there

      def add_tap(t, total):
        here, there = at_tap(t)
        g = load(g_ref, (n, *here), there).astype(wide)
        weight = load(k_ref, (about[n, DEPTHWISE], t, c), has).astype(wide)
        weight = jnp.where(kind == CONV, weight, 1)
        return total + g * weight[None]

      def add_pool(t, total):
        here, there = at_tap(t)
        g = load(g_ref, (n, *here), there).astype(wide)
        if taps_ref is None:
          return total + g
        chosen = there & (kind == MAX)
        which = load(taps_ref, (about[n, MAXIMUM], *here), chosen)
        taken = (kind == AVG) | (which.astype(jnp.int32) == t)
        return total + jnp.where(taken, g, 0)

      total, raw = carry
      total = loop(turns * (kind <= BARE), add_tap, total)
      if copies.pools:
        raw = loop(turns * (kind >= AVG), add_pool, raw)
      return total, raw

    zeros = jnp.zeros((grid.pixels, block), wide)
    many = 1 if normed else readers[row, 0]
    total, raw = loop(many, add_reader, (zeros, zeros))
    if rectified:
      total = jnp.where(normalised(source, s, at, ok) > 0, total, 0)
    total += raw
    here = at[:, None], c[None]
    if terms is not None:

      def add_term(t, weight, total):
        d = terms.about_T[t, DESTINATION]
        g = load(terms.g, (d, *here), inside).astype(wide)
        return total + g * weight

      total = _weighed(terms, terms.terms_NM, s, add_term, total)
    store(out[0], (row, *here), total, inside)
    if normed:
      total = jnp.where(inside, total, 0)
      store(out[1], (tile, row, 0, c), total.sum(0), has)
      product = total * centred(source, s, at, ok)
      store(out[1], (tile, row, 1, c), product.sum(0), has)

  if terms is not None:
    terms = terms._replace(g=flat(terms.g), sums=None)
  found, sums = call(
    kernel,
    (grid.tiles, count),
    [
      jax.ShapeDtypeStruct((count, grid.total, channels), dtype),
      None if parts is None else jax.ShapeDtypeStruct(parts, wide),
    ],
    table,
    activity,
    source._replace(x=flat(x)),
    depthwise,
    flat(between),
    None if taps is None else flat(taps),
    terms,
  )
  found = found.reshape(count, *grid.shape, channels)
  return found, None if sums is None else sums.sum(0)


def terms_of(
  table: TermTables, members_NM: np.ndarray, *args: Any
) -> FromTerms | None:
  """`FromTerms` of some rows: (g, weights, mask, sums); None if none is one."""
  if not members_NM[:, 0].any():
    return None
  g, weights, mask, sums = args
  return FromTerms(g, weights, mask, table.about_T, members_NM, sums)
