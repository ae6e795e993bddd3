"""The kernel forward of a list of copies.

A copy is a place in the grid; what it is stands in tables, and one that is not
active takes no taps. Norm and ReLU of what is read are applied whenever a pixel
is read, so that neither is ever written.

Axes: B batch, H W C, S sources, N copies, T taps, D destinations, P places of
operation weights.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from opp_darts_jax.operations.accelerator.copies import (
  AVG,
  BARE,
  KIND,
  MAX,
  MAXIMUM,
  POINTWISE,
  SOURCE,
  TAPS,
  Copies,
  tables,
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
  Place,
  Rows,
  active,
  normalised,
  tap_weight,
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
    place = Place(table, n, at, ok, grid.split(at), copies.stride, from_grid)

    def read(t):
      here, there = place.under(t)
      inside = there[:, None]
      return normalised(source, s, here, inside[:, 0]), inside

    def add_tap(t, total):
      z, inside = read(t)
      if rectified:
        z = jnp.maximum(z, 0)
      weight = tap_weight(k_ref, about, n, t)
      return total + jnp.where(inside, z, 0) * weight

    zeros = jnp.zeros((grid.pixels, block), wide)
    d = loop(taps * (kind <= BARE), add_tap, zeros)
    square = has[:, None] & has[None] & ~rests
    w = load(w_ref, (about[n, POINTWISE], c[:, None], c[None]), square)
    y = dot(d.astype(dtype), w.astype(dtype), precision)
    if copies.pools:
      y = _pooled(place, kind, taps, read, y, out)
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

  shapes = Results(
    grid.rows(count, channels, dtype),
    jax.ShapeDtypeStruct((grid.tiles, count, 2, channels), wide)
    if moments
    else None,
    taps=grid.rows(copies.num_max, channels, jnp.int8)
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
  images = jax.tree.map(grid.images, found._replace(mean=None))
  if not moments:
    return images
  mean, var = merged(found.mean, grid)
  return images._replace(mean=mean, var=var)


def _pooled(
  place: Place,
  kind: Any,
  taps: Any,
  read: Callable[[Any], tuple[jax.Array, jax.Array]],
  y: jax.Array,
  out: Results,
) -> jax.Array:
  """What a copy gives: a pool's values, or `y` if it is none.

  Args:
    place: of the copy.
    kind: of it.
    taps: how many it takes.
    read: tap -> the pixels under it, and which of them exist, (pixels, 1).
    y: of the copy if it is no pool, (pixels, C).
    out: of the kernel; by which taps maxima came is written there.
  """
  wide = y.dtype
  c, has = channel_block(out.y.shape[-1])
  zeros = jnp.zeros(y.shape, wide)

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
    jnp.zeros((len(y), 1), wide),
    jnp.full_like(zeros, -jnp.inf),
    jnp.zeros(zeros.shape, jnp.int32),
  )
  total, number, best, which = loop(taps * (kind >= AVG), add_tap, first)
  mean = total / jnp.maximum(number, 1)
  if out.taps is not None:
    here = place.table.about_N[place.n, MAXIMUM], place.at[:, None], c[None]
    which = which.astype(jnp.int8)
    store(out.taps, here, which, place.ok[:, None] & has[None] & (kind == MAX))
  best = jnp.where(taps > 0, best, 0)
  return jnp.where(kind == AVG, mean, jnp.where(kind == MAX, best, y))
