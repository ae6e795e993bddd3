"""The edges of a group, from parts that have derivatives of every order.

What fused.py computes by a few kernels, for derivatives beyond the gradient,
and for evaluation.

Axes: as in forward.py.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from opp_darts_jax.operations.accelerator.copies import AVG, CONV, Copies, Copy
from opp_darts_jax.operations.accelerator.edges import (
  FIRST,
  SECOND,
  SOURCES,
  Edges,
  term_tables,
)
from opp_darts_jax.operations.accelerator.products import products
from opp_darts_jax.operations.accelerator.rows import take_rows
from opp_darts_jax.operations.accelerator.shares import Shares
from opp_darts_jax.operations.norm import EPSILON, wide_type
from opp_darts_jax.operations.pooling import avg_pool, max_pool


def edge_parts(
  *args: Any,
  lists: Edges,
  precision: str | None,
  shares: Shares,
  run: Callable[..., jax.Array],
  moments: Any = None,
) -> jax.Array:
  """What reaches the destinations, (D, B, H', W', C).

  Args:
    *args: sources, four stacks of weights, weights of operations, and a mask of
      these, as `fused.run_edges` has them.
    lists: the edges.
    precision: of the products of float32.
    shares: of the batch.
    run: what computes products, as `products` takes it.
    moments: of both lists, to normalise with; None takes the batch's.
  """
  x, k1, w1, k2, w2, weights, mask = args
  table = term_tables(lists)
  given = moments or (None, None)
  used = used_copies(mask, table.places_first_NM)
  y1 = _copy_parts(lists.first, x, k1, w1, used, precision, shares, run)
  values = [_normalised(y1, given[0], shares.apart)]
  first = {FIRST: 0, SECOND: len(y1)}
  if lists.second:
    used = used_copies(mask, table.places_second_NM)
    y2 = _copy_parts(
      lists.second, values[0], k2, w2, used, precision, shares, run
    )
    values.append(_normalised(y2, given[1], shares.apart))
  terms, count = lists.terms, sum(map(len, values))
  if any(t.rows == SOURCES for t in terms):
    values.append(x)
  at = [first.get(t.rows, count) + t.row for t in terms]
  matrix = np.zeros((lists.destinations, sum(map(len, values))), np.float32)
  places = np.full(matrix.shape, -1)
  for t, row in zip(terms, at):
    places[t.destination, row] = t.place
  flat = take_rows(jnp.where(mask > 0, weights, 0), places.ravel()).reshape(
    places.shape
  )
  out = jnp.einsum(
    'dr,r...->d...', flat, jnp.concatenate(values), precision='highest'
  )
  return out.astype(x.dtype)


def used_copies(mask: jax.Array, places_NM: np.ndarray) -> jax.Array:
  """Which copies are active, int32 (N,): any of the places that are theirs."""
  counts, places = places_NM[:, :1], places_NM[:, 1:]
  has = np.arange(places.shape[1]) < counts
  return ((mask[places] > 0) & has).any(1).astype(jnp.int32)


def _copy_parts(copies, x, depthwise, pointwise, used, *how):
  """What the copies give, from parts; convolutions come before pools."""
  convs = [c for c in copies.copies if c.multiplies]
  pools = [c for c in copies.copies if not c.multiplies]
  values = []
  if convs:
    own = tuple(
      Copy(CONV, c.window, c.source, i, i) for i, c in enumerate(convs)
    )
    lists = Copies(own, copies.stride, copies.num_sources, len(own), len(own))
    rows = [c.depthwise if c.kind == CONV else -1 for c in convs]
    k = take_rows(depthwise, rows)[:, : lists.taps]
    # Taps of weight 1 have no gradient.
    k = jnp.where(np.array(rows)[:, None, None] < 0, 1, k)
    w = take_rows(pointwise, [c.pointwise for c in convs])
    z = jax.nn.relu(x)
    values.append(products(z, k, w, used[: len(convs)], lists, *how))
  for i, pool in enumerate(pools, len(convs)):
    run = avg_pool if pool.kind == AVG else max_pool
    y = run(x[pool.source], copies.stride)
    values.append(jnp.where(used[i] > 0, y, 0)[None])
  return jnp.concatenate(values)


def _normalised(y, moments, apart):
  if moments is None and apart > 1:
    # Each device's share by itself.
    own = y.reshape(len(y), apart, -1, *y.shape[2:])
    shares = jax.vmap(lambda t: _normalised(t, None, 1), 1, 1)(own)
    return shares.reshape(y.shape)
  wide = y.astype(wide_type(y))
  if moments is None:
    mean = wide.mean((1, 2, 3))
    var = ((wide - mean[:, None, None, None]) ** 2).mean((1, 2, 3))
  else:
    mean, var = moments
  mean, scale = (
    t[:, None, None, None] for t in (mean, lax.rsqrt(var + EPSILON))
  )
  return ((wide - mean) * scale).astype(y.dtype)
