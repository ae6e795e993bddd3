"""The edges of a group as a primitive: few kernels forward, few backward.

What lies between the kernels is written once: what each copy gives. Norms are
applied where it is read, backward too. Derivatives beyond the gradient are
those of parts, which XLA and products.py compute.

Axes: as in forward.py.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad

from opp_darts_jax.operations.accelerator import group
from opp_darts_jax.operations.accelerator.edges import Edges
from opp_darts_jax.operations.accelerator.forward import grids
from opp_darts_jax.operations.accelerator.group import NUM_ARGS
from opp_darts_jax.operations.accelerator.lists import define
from opp_darts_jax.operations.accelerator.parts import edge_parts
from opp_darts_jax.operations.accelerator.shares import Shares, shares_of
from opp_darts_jax.operations.norm import wide_type

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
    the copies of both lists gave, which pass no gradient on; means over what is
    normalised by itself.
  """
  out, _, *rest = _fused_p.bind(
    x, *stacks, weights, mask.astype(jnp.int32), lists=edges, **_how(x)
  )
  apart = shares_of(x.shape[1]).apart

  def means(mean, var):
    if apart == 1:
      return mean, var
    return tuple(t.reshape(len(t), apart, -1).mean(1) for t in (mean, var))

  second = means(*rest[-2:]) if edges.second else None
  return out, means(*rest[:2]), second


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


def _result_shapes(
  x: Any, *args: Any, lists: Edges, shares: Shares, **params: Any
) -> list[ShapedArray]:
  del args, params
  shape, wide = x.shape, wide_type(x)
  _, grid = grids(lists.first, shape)
  images, channels = grid.shape, shape[-1]

  def moments(copies):
    own = len(copies.copies), channels * shares.apart
    return [ShapedArray(own, wide)] * 2

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


@functools.partial(jax.jit, static_argnames=('lists', 'precision', 'shares'))
def _forward(*args, shares, **params):
  shapes = _result_shapes(*args, shares=shares, **params)
  run = functools.partial(group.forward, shares=shares, **params)
  return shares.run(run, shapes, *args)


@functools.partial(
  jax.jit, static_argnames=('moves', 'lists', 'precision', 'shares')
)
def _gradient(*args, shares, **params):
  """(primals, mask, results, the sums' gradient) -> of those that move."""
  shapes = _gradient_shapes(*args, **params)
  run = functools.partial(group.gradient, shares=shares, **params)
  return shares.run(run, shapes, *args)


# The derivative along a direction, linear in it: (primals, mask, results, the
# tangents of those primals that move) -> the sums' tangent.


def _tangent_parts(*args, moves, **params):
  primals, mask = args[:NUM_ARGS], args[NUM_ARGS]
  each = iter(args[len(args) - sum(moves) :])
  tangents = tuple(
    next(each) if by else jnp.zeros_like(primal)
    for by, primal in zip(moves, primals)
  )
  parts = functools.partial(edge_parts, **params)
  return jax.jvp(lambda *a: parts(*a, mask), primals, tangents)[1]


def _tangent_shape(*args, moves, **params):
  del moves
  return _result_shapes(*args[: NUM_ARGS + 1], **params)[0]


def _gradient_parts(*args, moves, **params):
  primals, mask, g = args[:NUM_ARGS], args[NUM_ARGS], args[-1]
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
  moves = tuple(not isinstance(t, ad.Zero) for t in tangents[:NUM_ARGS])
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
