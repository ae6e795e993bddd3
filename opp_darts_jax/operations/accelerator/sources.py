"""The second kernel backward: each pixel of a source asks all who read it.

Axes: as in forward.py.
"""

from typing import Any, NamedTuple

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
  flat,
  load,
  loop,
  padded,
  store,
)
from opp_darts_jax.operations.accelerator.reading import (
  Activity,
  Place,
  Rows,
  active,
  centred,
  normalised,
  tap_weight,
)
from opp_darts_jax.operations.norm import wide_type


class _Given(NamedTuple):
  """What the kernel is given of the copies.

  Attributes:
    depthwise: the stack of their weights.
    between: of the first kernel.
    taps: of the maxima; None if there are none.
  """

  depthwise: Any
  between: Any
  taps: Any


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

  def kernel(table, activity, source, given, terms, out):
    tile, row = pl.program_id(0), pl.program_id(1)
    about, _, readers = table
    s = about[row, SOURCE] if normed else row
    c, has = channel_block(channels)
    at, ok = grid.tile(tile)
    inside = ok[:, None] & has[None]
    split = grid.split(at)

    def add_reader(m, carry):
      n = row if normed else readers[row, m + 1]
      place = Place(table, n, at, ok, split, copies.stride, from_grid)
      return _add_reader(place, activity, given, (c, has), copies.pools, carry)

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
      grid.rows(count, channels, dtype),
      None if parts is None else jax.ShapeDtypeStruct(parts, wide),
    ],
    table,
    activity,
    source._replace(x=flat(x)),
    _Given(depthwise, flat(between), None if taps is None else flat(taps)),
    terms,
  )
  return grid.images(found), None if sums is None else sums.sum(0)


def _add_reader(
  place: Place,
  activity: Activity,
  given: _Given,
  block: tuple[jax.Array, jax.Array],
  pools: bool,
  carry: tuple[jax.Array, jax.Array],
) -> tuple[jax.Array, jax.Array]:
  """Adds what reaches pixels of a source by a copy that reads them.

  Args:
    place: of the copy, and the pixels.
    activity: of the copies.
    given: of them.
    block: of channels, and which exist.
    pools: whether there are pools among the copies.
    carry: what has reached the pixels by convolutions, and by pools.
  """
  about, n = place.table.about_N, place.n
  c, has = block
  total, raw = carry
  kind = about[n, KIND]
  turns = about[n, TAPS] * active(activity, n)

  def read(t):
    pixels, there = place.readers(t)
    there = there[:, None] & has[None]
    here = pixels[:, None], c[None]
    g = load(given.between, (n, *here), there)
    return g.astype(total.dtype), here, there

  def add_tap(t, total):
    g, *_ = read(t)
    return total + g * tap_weight(given.depthwise, about, n, t)

  def add_pool(t, raw):
    g, here, there = read(t)
    if given.taps is None:
      return raw + g
    chosen = there & (kind == MAX)
    which = load(given.taps, (about[n, MAXIMUM], *here), chosen)
    taken = (kind == AVG) | (which.astype(jnp.int32) == t)
    return raw + jnp.where(taken, g, 0)

  total = loop(turns * (kind <= BARE), add_tap, total)
  if pools:
    raw = loop(turns * (kind >= AVG), add_pool, raw)
  return total, raw
