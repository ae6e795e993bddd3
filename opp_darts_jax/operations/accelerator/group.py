"""The kernels of a group's edges, one after the other.

Axes: as in forward.py.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from opp_darts_jax.operations.accelerator.arriving import (
  Arriving,
  FromSecond,
  terms_of,
)
from opp_darts_jax.operations.accelerator.copies import CONV, Copies
from opp_darts_jax.operations.accelerator.edges import Edges, term_tables
from opp_darts_jax.operations.accelerator.forward import run_copies
from opp_darts_jax.operations.accelerator.matrices import through_matrices
from opp_darts_jax.operations.accelerator.reading import Activity, Rows
from opp_darts_jax.operations.accelerator.rows import take_rows
from opp_darts_jax.operations.accelerator.shares import Shares
from opp_darts_jax.operations.accelerator.sources import to_sources
from opp_darts_jax.operations.accelerator.sums import (
  Given,
  sum_terms,
  term_sums,
)
from opp_darts_jax.operations.norm import EPSILON

# The arguments that may have a gradient: all but the mask.
NUM_ARGS = 6


class Kept(NamedTuple):
  """What the forward pass leaves."""

  first: Rows
  second: Rows | None
  taps: Any

  @classmethod
  def of(cls, edges: Edges, results: Sequence[Any]) -> 'Kept':
    """Of the primitive's results, the first of which is the sums."""
    _, *rest = results
    taps = rest[3] if edges.first.num_max else None
    second = Rows(*rest[-3:]) if edges.second else None
    return cls(Rows(*rest[:3]), second, taps)


def forward(
  *args: Any, lists: Edges, precision: str | None, shares: Shares
) -> list[jax.Array]:
  """The sums, and what is kept of both lists; of a share of the batch.

  Args:
    *args: sources, four stacks of weights, weights of operations, and a mask of
      these, as `fused.run_edges` has them.
    lists: the edges.
    precision: of the products of float32.
    shares: of the batch.
  """
  x, k1, w1, k2, w2, weights, mask = args
  first, second = lists.first, lists.second
  table = term_tables(lists)
  activity = Activity(mask, table.places_first_NM)
  y1 = run_copies(first, Rows(x), k1, w1, activity, precision=precision)
  rows = Rows(y1.y, *shares.merged(y1.mean, y1.var))
  results = [*rows, *([y1.taps] if first.num_max else [])]
  behind = None
  if second:
    activity = Activity(mask, table.places_second_NM)
    y2 = run_copies(second, rows, k2, w2, activity, precision=precision)
    behind = Rows(y2.y, *shares.merged(y2.mean, y2.var))
    results += behind
  given = Given(rows, behind, Rows(x))
  return [sum_terms(lists, given, weights, mask), *results]


def gradient(
  *args: Any,
  moves: tuple[bool, ...],
  lists: Edges,
  precision: str | None,
  shares: Shares,
) -> list[jax.Array]:
  """The gradients of the arguments of `forward` that move.

  Args:
    *args: those of `forward`, its results but the sums, and the gradient of
      the sums.
    moves: which of the arguments, the mask apart, do.
    lists: the edges.
    precision: of the products of float32.
    shares: of the batch.
  """
  x, k1, w1, k2, w2, weights, mask = args[: NUM_ARGS + 1]
  kept, g = Kept.of(lists, args[NUM_ARGS + 1 : -1]), args[-1]
  first, second, table = lists.first, lists.second, term_tables(lists)
  given = Given(kept.first, kept.second, Rows(x))
  sums = shares.sum_of_norm(term_sums(lists, given, g, mask))
  found: list[Any] = [None] * NUM_ARGS
  if moves[5]:
    variances = kept.first.var, kept.second.var if kept.second else None
    found[5] = shares.sum_of_norms(
      weight_gradient(lists, variances, sums[:, 1])
    )
  if any(moves[:5]):
    from_terms = g, weights, mask, sums
    behind = None
    if second:
      activity = Activity(mask, table.places_second_NM)
      terms = terms_of(table, table.of_second_NM, *from_terms)
      between = through_matrices(
        second,
        kept.first,
        k2,
        w2,
        activity,
        Arriving(rows=kept.second, terms=terms),
        weights=moves[3] or moves[4],
        precision=precision,
        shares=shares.together,
      )
      found[3:5] = _of_weights(second, between, k2, shares)
      own, own_sums = to_sources(second, kept.first, k2, activity, between.g)
      own_sums = shares.sum_of_norm(own_sums)
      behind = FromSecond(own, own_sums, table.second_N)
    activity = Activity(mask, table.places_first_NM)
    terms = terms_of(table, table.of_first_NM, *from_terms)
    between = through_matrices(
      first,
      Rows(x),
      k1,
      w1,
      activity,
      Arriving(rows=kept.first, terms=terms, second=behind),
      weights=moves[1] or moves[2],
      precision=precision,
      shares=shares.together,
    )
    found[1:3] = _of_weights(first, between, k1, shares)
    if moves[0]:
      terms = terms_of(table, table.of_source_SM, *from_terms)
      found[0], _ = to_sources(
        first, Rows(x), k1, activity, between.g, kept.taps, terms=terms
      )
  return [
    t if t is not None else jnp.zeros_like(arg)
    for t, by, arg in zip(found, moves, args)
    if by
  ]


def weight_gradient(
  edges: Edges, variances: Sequence[Any], sums: jax.Array
) -> jax.Array:
  """Of the operations' weights, (P,).

  Args:
    edges: of the group.
    variances: of both lists' rows, (N, C) each; None if there is no second.
    sums: of the terms' gradients times what they add less its mean, (T, C).
  """
  source = jnp.ones((edges.first.num_sources, sums.shape[-1]), sums.dtype)
  scales = [
    None if var is None else lax.rsqrt(var + EPSILON) for var in variances
  ]
  scales.append(source)
  sizes = [0 if scale is None else len(scale) for scale in scales]
  first = np.cumsum([0, *sizes])
  at = np.array([first[t.rows] + t.row for t in edges.terms])
  rows = jnp.concatenate([scale for scale in scales if scale is not None])
  found_T = (sums * rows.at[at].get(mode='promise_in_bounds')).sum(1)
  return of_places(edges, found_T)


def of_places(edges: Edges, found_T: jax.Array) -> jax.Array:
  """Numbers of terms as numbers of their places, (P,)."""
  places = {t.place: i for i, t in enumerate(edges.terms)}
  return take_rows(found_T, [places.get(i, -1) for i in range(edges.places)])


def stacked(
  copies: Copies, taps: jax.Array, matrices: jax.Array, stack: jax.Array
) -> list[jax.Array]:
  """The gradients of copies' weights as rows of the stacks.

  Args:
    copies: the list.
    taps: of each copy, (N, T, C).
    matrices: of each copy, (N, C, C).
    stack: of the depthwise weights.
  """
  own = {c.depthwise: i for i, c in enumerate(copies.copies) if c.kind == CONV}
  rows = [own.get(i, -1) for i in range(copies.num_depthwise)]
  taps = taps[:, : stack.shape[1]]
  missing = stack.shape[1] - taps.shape[1]
  taps = jnp.pad(taps, ((0, 0), (0, missing), (0, 0)))
  own = {c.pointwise: i for i, c in enumerate(copies.copies) if c.multiplies}
  squares = [own.get(i, -1) for i in range(copies.num_pointwise)]
  return [take_rows(taps, rows), take_rows(matrices, squares)]


def _of_weights(copies, between, stack, shares):
  if between.depthwise is None:
    return [None, None]
  own = stacked(copies, between.depthwise, between.pointwise, stack)
  return shares.sum(own)
