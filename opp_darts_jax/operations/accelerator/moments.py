"""The moments of what a list gives, from those of its tiles.

Axes: N copies, C channels.
"""

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from opp_darts_jax.operations.accelerator.pallas import (
  Grid,
  call,
  channel_block,
  load,
  loop,
  padded,
  store,
)

_TILES = 32  # That are read at once.


def merged(moments: jax.Array, grid: Grid) -> tuple[jax.Array, jax.Array]:
  """Mean and biased variance over all tiles, (N, C) each.

  As by Chan, Golub and LeVeque (1979), from the first tile's mean on, so that
  one pass is as exact as two.

  Args:
    moments: of each tile, its mean and the sum of squared distances from that,
      (tiles, N, 2, C).
    grid: of the tiles.
  """
  _, count, _, channels = moments.shape
  wide = moments.dtype

  def kernel(moments_ref, out):
    n = pl.program_id(0)
    c, has = channel_block(channels)
    first = load(moments_ref, (0, n, 0, c), has)[None]

    def add(i, carry):
      offset, square = carry
      tile = i * _TILES + jnp.arange(_TILES)
      inside = (tile < grid.tiles)[:, None] & has[None]
      mean, own = (
        load(moments_ref, (tile[:, None], n, which, c[None]), inside)
        for which in range(2)
      )
      pixels = jnp.clip(grid.total - tile * grid.pixels, 0, grid.pixels)
      weight = pixels.astype(wide)[:, None]
      distance = mean - first
      return (
        offset + distance * weight,
        square + own + distance * distance * weight,
      )

    zeros = jnp.zeros((_TILES, padded(channels)), wide)
    turns = -(-grid.tiles // _TILES)
    offset, square = (
      t.sum(0) / grid.total for t in loop(turns, add, (zeros, zeros))
    )
    store(out[0], (n, c), first[0] + offset, has)
    store(out[1], (n, c), jnp.maximum(square - offset * offset, 0), has)

  shape = jax.ShapeDtypeStruct((count, channels), wide)
  mean, var = call(kernel, (count,), [shape, shape], moments)
  return mean, var
