"""The second kernel backward: each pixel of a source asks all who read it.

Axes: as in forward.py.
"""

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from opp_darts_jax.operations.accelerator.arriving import FromTerms, weighed
from opp_darts_jax.operations.accelerator.copies import (
  AVG,
  BARE,
  KIND,
  MAX,
  MAXIMUM,
  SOURCE,
  TAPS,
  Copies,
  tables,
)
from opp_darts_jax.operations.accelerator.edges import DESTINATION
from opp_darts_jax.operations.accelerator.forward import grids
from opp_darts_jax.operations.accelerator.pallas import (
  call,
  channel_block,
  divide,
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
  tap_weight,
)
from opp_darts_jax.operations.norm import wide_type


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
        return total + g * tap_weight(k_ref, about, n, t)

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

      total = weighed(terms, s, add_term, total)
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
