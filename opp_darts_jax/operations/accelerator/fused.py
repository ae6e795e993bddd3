"""The edges of a group as a primitive: few kernels forward, few backward.

What lies between the kernels is written once: what each copy gives. Norms are
applied where it is read, backward too. Derivatives beyond the gradient are
those of parts, which XLA and products.py compute.

Axes: as in forward.py.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad

from opp_darts_jax.operations.accelerator.backward import (
  Arriving,
  FromSecond,
  terms_of,
  through_matrices,
  to_sources,
)
from opp_darts_jax.operations.accelerator.copies import (
  CONV,
  Copies,
)
from opp_darts_jax.operations.accelerator.edges import (
  Edges,
  term_tables,
)
from opp_darts_jax.operations.accelerator.forward import (
  Given,
  grids,
  run_copies,
  sum_terms,
  term_sums,
)
from opp_darts_jax.operations.accelerator.lists import define
from opp_darts_jax.operations.accelerator.parts import edge_parts
from opp_darts_jax.operations.accelerator.reading import Activity, Rows
from opp_darts_jax.operations.accelerator.rows import take_rows
from opp_darts_jax.operations.accelerator.shares import shares_of
from opp_darts_jax.operations.norm import EPSILON, wide_type

_CONFIG: Any = jax.config  # Its type has no fields.
Moments = tuple[jax.Array, jax.Array]  # Mean and biased variance, (N, C).


class Stacks(NamedTuple):
  """Weights of all edges of a cell, as the lists' copies number them.

  Attributes:
    depthwise: of first units, (n, T, C), filled up with 0.
    pointwise: likewise, (n, C, C).
    second_depthwise: of second units.
    second_pointwise: likewise.
  """

  depthwise: Any
  pointwise: Any
  second_depthwise: Any
  second_pointwise: Any


def run_edges(
  edges: Edges,
  x: jax.Array,
  stacks: Stacks,
  weights: jax.Array,
  mask: jax.Array,
) -> tuple[jax.Array, Moments, Moments | None]:
  """Runs the edges of a group, normalised by the moments of the batch.

  Args:
    edges: they.
    x: their sources, (S, B, H, W, C).
    stacks: the weights; float32 at least.
    weights: of the operations, (P,).
    mask: bool (P,), which of them are active; what is not is not computed.

  Returns:
    What reaches the destinations, (D, B, H', W', C), and the moments of what
    the copies of both lists gave, which pass no gradient on.
  """
  out, _, *rest = _fused_p.bind(
    x, *stacks, weights, mask.astype(jnp.int32), lists=edges, **_how(x)
  )
  second = (rest[-2], rest[-1]) if edges.second else None
  return out, (rest[0], rest[1]), second


def evaluate_edges(
  edges: Edges,
  x: jax.Array,
  stacks: Stacks,
  weights: jax.Array,
  mask: jax.Array,
  moments: tuple[Moments, Moments | None],
) -> jax.Array:
  """The same, normalised by moments that are given."""
  args = x, *stacks, weights, mask.astype(jnp.int32)
  return edge_parts(*args, lists=edges, moments=moments, **_how(x))


def _how(x: jax.Array) -> dict[str, Any]:
  """What the primitives, which are lowered later, know of where they run."""
  return {
    'precision': _CONFIG.jax_default_matmul_precision,
    'shares': shares_of(x.shape[1]),
  }


# Primals: x, the four stacks, weights; and the mask, which has no derivative.
_ARGS = 6


def _result_shapes(
  x: Any, *args: Any, lists: Edges, **params: Any
) -> list[ShapedArray]:
  del args, params
  shape, wide = x.shape, wide_type(x)
  _, grid = grids(lists.first, shape)
  images, channels = grid.shape, shape[-1]

  def moments(copies):
    return [ShapedArray((len(copies.copies), channels), wide)] * 2

  def rows(count, dtype=x.dtype):
    return ShapedArray((count, *images, channels), dtype)

  found = [rows(lists.destinations), rows(len(lists.first.copies))]
  found += moments(lists.first)
  if lists.first.num_max:
    found.append(rows(lists.first.num_max, jnp.int8))
  if lists.second:
    found.append(rows(len(lists.second.copies)))
    found += moments(lists.second)
  return found


class _Kept(NamedTuple):
  """What the forward pass leaves."""

  first: Rows
  second: Rows | None
  taps: Any

  @classmethod
  def of(cls, edges: Edges, results: Sequence[Any]) -> '_Kept':
    """Of the primitive's results, the first of which is the sums."""
    _, *rest = results
    taps = rest[3] if edges.first.num_max else None
    second = Rows(*rest[-3:]) if edges.second else None
    return cls(Rows(*rest[:3]), second, taps)


@functools.partial(jax.jit, static_argnames=('lists', 'precision', 'shares'))
def _forward(*args, shares, **params):
  shapes = _result_shapes(*args, **params)
  run = functools.partial(_forward_share, shares=shares, **params)
  return shares.run(run, shapes, *args)


def _forward_share(
  x, k1, w1, k2, w2, weights, mask, *, lists, precision, shares
):
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


@functools.partial(
  jax.jit, static_argnames=('moves', 'lists', 'precision', 'shares')
)
def _gradient(*args, shares, **params):
  """(primals, mask, results, the sums' gradient) -> of those that move."""
  shapes = _gradient_shapes(*args, **params)
  run = functools.partial(_gradient_share, shares=shares, **params)
  return shares.run(run, shapes, *args)


def _gradient_share(*args, moves, lists, precision, shares):
  x, k1, w1, k2, w2, weights, mask = args[: _ARGS + 1]
  kept, g = _Kept.of(lists, args[_ARGS + 1 : -1]), args[-1]
  first, second, table = lists.first, lists.second, term_tables(lists)
  given = Given(kept.first, kept.second, Rows(x))
  sums = shares.sum(term_sums(lists, given, g, mask))
  found: list[Any] = [None] * _ARGS
  found[5] = _weight_gradient(lists, given, sums) if moves[5] else None
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
        shares=shares.devices,
      )
      found[3:5] = shares.sum(_stacked(second, between, k2))
      own, own_sums = to_sources(second, kept.first, k2, activity, between.g)
      behind = FromSecond(own, shares.sum(own_sums), table.second_N)
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
      shares=shares.devices,
    )
    found[1:3] = shares.sum(_stacked(first, between, k1))
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


def _weight_gradient(edges: Edges, given: Given, sums: jax.Array) -> jax.Array:
  """Of the operations' weights, (P,), by the sums of the terms."""
  scales: list[jax.Array] = []
  first = {}
  for kind, rows in enumerate(given):
    if rows is not None:
      first[kind] = sum(len(scale) for scale in scales)
      if rows.var is None:
        scales.append(jnp.ones((len(rows.x), rows.x.shape[-1]), sums.dtype))
      else:
        scales.append(lax.rsqrt(rows.var + EPSILON))
  at = np.array([first[t.rows] + t.row for t in edges.terms])
  scale_TC = jnp.concatenate(scales).at[at].get(mode='promise_in_bounds')
  found_T = (sums[:, 1] * scale_TC).sum(1)
  places = {t.place: i for i, t in enumerate(edges.terms)}
  return take_rows(found_T, [places.get(i, -1) for i in range(edges.places)])


def _stacked(copies: Copies, between: Any, stack: jax.Array) -> list[Any]:
  """The gradients of copies' weights as rows of the stacks."""
  if between.depthwise is None:
    return [None, None]
  own = {c.depthwise: i for i, c in enumerate(copies.copies) if c.kind == CONV}
  rows = [own.get(i, -1) for i in range(copies.num_depthwise)]
  depthwise = between.depthwise[:, : stack.shape[1]]
  missing = stack.shape[1] - depthwise.shape[1]
  depthwise = jnp.pad(depthwise, ((0, 0), (0, missing), (0, 0)))
  own = {c.pointwise: i for i, c in enumerate(copies.copies) if c.multiplies}
  matrices = [own.get(i, -1) for i in range(copies.num_pointwise)]
  return [take_rows(depthwise, rows), take_rows(between.pointwise, matrices)]


# The derivative along a direction, linear in it: (primals, mask, results, the
# tangents of those primals that move) -> the sums' tangent.


def _tangent_parts(*args, moves, **params):
  primals, mask = args[:_ARGS], args[_ARGS]
  each = iter(args[len(args) - sum(moves) :])
  tangents = tuple(
    next(each) if by else jnp.zeros_like(primal)
    for by, primal in zip(moves, primals)
  )
  parts = functools.partial(edge_parts, **params)
  return jax.jvp(lambda *a: parts(*a, mask), primals, tangents)[1]


def _tangent_shape(*args, moves, **params):
  del moves
  return _result_shapes(*args[: _ARGS + 1], **params)[0]


def _gradient_parts(*args, moves, **params):
  primals, mask, g = args[:_ARGS], args[_ARGS], args[-1]
  parts = functools.partial(edge_parts, **params)
  found = jax.vjp(lambda *a: parts(*a, mask), *primals)[1](g)
  return [t for t, by in zip(found, moves) if by]


def _gradient_shapes(*args, moves, **_):
  return [ShapedArray(a.shape, a.dtype) for a, by in zip(args, moves) if by]


def _derive_by_parts(primitive: Primitive, parts: Any) -> None:
  """The derivative is that of the parts; the value is the kernels'."""

  def jvp(primals, tangents, **params):
    tangents = tuple(map(ad.instantiate_zeros, tangents))
    moved = jax.jvp(functools.partial(parts, **params), primals, tangents)[1]
    return primitive.bind(*primals, **params), moved

  ad.primitive_jvps[primitive] = jvp


_fused_p = define('edges', _result_shapes, _forward, True)
_tangent_p = define('edges_jvp', _tangent_shape, _tangent_parts)
_gradient_p = define('edges_vjp', _gradient_shapes, _gradient, True)
_derive_by_parts(_tangent_p, _tangent_parts)
_derive_by_parts(_gradient_p, _gradient_parts)


def _fused_jvp(primals, tangents, **params):
  results = _fused_p.bind(*primals, **params)
  moves = tuple(not isinstance(t, ad.Zero) for t in tangents[:_ARGS])
  moved = [t for t, by in zip(tangents, moves) if by]
  dot = _tangent_p.bind(*primals, *results, *moved, moves=moves, **params)
  # All but the sums are kept for the gradient alone.
  rest = [ad.Zero(jax.typeof(t).to_tangent_aval()) for t in results[1:]]
  return results, [dot, *rest]


def _transpose(cotangent, *args, moves, **params):
  first = len(args) - sum(moves)
  undefined = [ad.is_undefined_primal(arg) for arg in args[first:]]
  each = iter(undefined)
  asked = tuple(by and next(each) for by in moves)
  found = iter(
    _gradient_p.bind(*args[:first], cotangent, moves=asked, **params)
  )
  return [None] * first + [next(found) if u else None for u in undefined]


ad.primitive_jvps[_fused_p] = _fused_jvp
ad.primitive_transposes[_tangent_p] = _transpose
