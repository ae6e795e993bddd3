"""The first kernel backward: through norm and matrix, with weights' gradients.

These come in parts, each a sum over some pixels.

Axes: as in forward.py; P parts of a sum.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from opp_darts_jax.operations.accelerator.arriving import Arriving, arriving_at
from opp_darts_jax.operations.accelerator.copies import (
  AVG,
  BARE,
  KIND,
  POINTWISE,
  SOURCE,
  TAPS,
  Copies,
  tables,
)
from opp_darts_jax.operations.accelerator.forward import grids
from opp_darts_jax.operations.accelerator.pallas import (
  call,
  channel_block,
  dot,
  flat,
  load,
  loop,
  padded,
  parts_of,
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
from opp_darts_jax.operations.norm import wide_type


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
  parts, each = parts_of(grid.tiles, count) if weights else (grid.tiles, 1)

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
      place = Place(table, n, at, ok, grid.split(at), copies.stride, from_grid)
      g = arriving_at(arriving, n, at, ok, shares * grid.total)
      rounded = g.astype(dtype)
      d = dot(rounded, w.T, precision).astype(wide)
      if copies.pools:
        d = _through_pool(place, kind, g, d)
      store(out.g, (n, at[:, None], c[None]), d, inside)
      if not weights:
        return carry
      k_sums, w_sums = carry

      def add_tap(t, carry):
        total, k_sums = carry
        here, there = place.under(t)
        z = normalised(source, s, here, there)
        if rectified:
          z = jnp.maximum(z, 0)
        z = jnp.where(there[:, None], z, 0)
        # The sums of all taps are kept together: each is a row.
        own = (jnp.arange(taps_block) == t)[:, None]
        k_sums += jnp.where(own, (z * d).sum(0)[None], 0)
        return total + z * tap_weight(k_ref, about, n, t), k_sums

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
      _store_sums(out.depthwise, part, n, sums)

  sums = jax.ShapeDtypeStruct((parts, count, taps_block + block, block), wide)
  shapes = Between(grid.rows(count, channels, dtype), sums if weights else None)
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
  g = grid.images(found.g)
  if not weights:
    return Between(g)
  total = found.depthwise.sum(0)[..., :channels]
  of_taps = total[:, : copies.taps]
  return Between(g, of_taps, total[:, taps_block : taps_block + channels])


def _through_pool(
  place: Place, kind: Any, g: jax.Array, d: jax.Array
) -> jax.Array:
  """The gradient of each value that a pool takes; `d` if a copy is none.

  Args:
    place: of the copy.
    kind: of it.
    g: of what it gives, (pixels, C).
    d: of what its matrix takes, likewise.
  """

  def count_tap(t, number):
    return number + place.under(t)[1].astype(g.dtype)

  taps = place.table.about_N[place.n, TAPS]
  number = loop(taps * (kind == AVG), count_tap, jnp.zeros(len(g), g.dtype))
  pooled = jnp.where(kind == AVG, g / jnp.maximum(number, 1)[:, None], g)
  return jnp.where(kind >= AVG, pooled, d)


def _store_sums(ref: Any, part: Any, n: Any, sums: Sequence[jax.Array]) -> None:
  """Writes a part of a copy's sums below one another."""
  first = 0
  for own in sums:
    rows = first + jnp.arange(own.shape[0])
    here = part, n, rows[:, None], jnp.arange(own.shape[1])[None]
    store(ref, here, own, True)
    first += own.shape[0]
