"""The edges of a group as a primitive: few kernels forward, few backward.

What lies between the kernels is written once: what each copy gives. Norms are
applied where it is read, backward too. Derivatives beyond the gradient are
those of parts, which XLA and products.py compute.

Axes: as in forward.py.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad

from opp_darts_jax.operations.accelerator.group import NUM_ARGS
from opp_darts_jax.operations.accelerator.lists import define

_STATIC = ('moves', 'lists', 'form', 'precision', 'shares')


class Kernels(NamedTuple):
  """What computes the edges of a group, and their gradients.

  Attributes:
    shapes: (arguments, parameters) -> shapes of the results.
    forward: (arguments, parameters, shares) -> the results on a share of the
      batch: the sums, then what is kept for the gradient alone.
    gradient: (arguments, mask, results but the sums, the gradient of these;
      parameters, which arguments move, shares) -> those of these.
    parts: (arguments, parameters, shares) -> the sums alone, by what has
      derivatives of every order.
  """

  shapes: Callable[..., list[ShapedArray]]
  forward: Callable[..., list[jax.Array]]
  gradient: Callable[..., list[jax.Array]]
  parts: Callable[..., jax.Array]


class GroupKernels(NamedTuple):
  """What runs the edges of groups, for cells.

  Attributes:
    form: (shape of images (S, B, H, W, C), stride of what reads them) -> how
      the kernels read them: `enter` and `leave` go there and back, `join` to
      the channels of several; `behind` is that of what they give, of so many
      `pixels`.
    expanded: of the weights of a cell, as the kernels read them.
    run_edges: as `fused.run_edges`.
    evaluate_edges: as `fused.evaluate_edges`.
  """

  form: Callable[[tuple[int, ...], int], Any]
  expanded: Callable[[Any], Any]
  run_edges: Callable[..., Any]
  evaluate_edges: Callable[..., jax.Array]


def define_edges(name: str, kernels: Kernels) -> Primitive:
  """The primitive of a group's edges, with derivatives of every order."""

  def jitted(function):
    # Equal groups are lowered once.
    def run(*args, **params):
      static = [key for key in _STATIC if key in params]
      return _jitted(function, tuple(static))(*args, **params)

    return run

  def forward(*args, shares, **params):
    shapes = kernels.shapes(*args, shares=shares, **params)
    run = functools.partial(kernels.forward, shares=shares, **params)
    return shares.run(run, shapes, *args)

  def gradient(*args, shares, **params):
    shapes = _gradient_shapes(*args, **params)
    run = functools.partial(kernels.gradient, shares=shares, **params)
    return shares.run(run, shapes, *args)

  # The derivative along a direction, linear in it: (primals, mask, results, the
  # tangents of those primals that move) -> the sums' tangent.

  def tangent_parts(*args, moves, **params):
    primals, mask = args[:NUM_ARGS], args[NUM_ARGS]
    each = iter(args[len(args) - sum(moves) :])
    tangents = tuple(
      next(each) if by else jnp.zeros_like(primal)
      for by, primal in zip(moves, primals)
    )
    parts = functools.partial(kernels.parts, **params)
    return jax.jvp(lambda *a: parts(*a, mask), primals, tangents)[1]

  def tangent_shape(*args, moves, **params):
    del moves
    return kernels.shapes(*args[: NUM_ARGS + 1], **params)[0]

  def gradient_parts(*args, moves, **params):
    primals, mask, g = args[:NUM_ARGS], args[NUM_ARGS], args[-1]
    parts = functools.partial(kernels.parts, **params)
    found = jax.vjp(lambda *a: parts(*a, mask), *primals)[1](g)
    return [t for t, by in zip(found, moves) if by]

  fused_p = define(name, kernels.shapes, jitted(forward), True)
  tangent_p = define(f'{name}_jvp', tangent_shape, tangent_parts)
  gradient_p = define(f'{name}_vjp', _gradient_shapes, jitted(gradient), True)
  derive_by_parts(tangent_p, tangent_parts)
  derive_by_parts(gradient_p, gradient_parts)

  def fused_jvp(primals, tangents, **params):
    results = fused_p.bind(*primals, **params)
    moves = tuple(not isinstance(t, ad.Zero) for t in tangents[:NUM_ARGS])
    moved = [t for t, by in zip(tangents, moves) if by]
    dot = tangent_p.bind(*primals, *results, *moved, moves=moves, **params)
    # All but the sums are kept for the gradient alone.
    rest = [ad.Zero(jax.typeof(t).to_tangent_aval()) for t in results[1:]]
    return results, [dot, *rest]

  def transpose(cotangent, *args, moves, **params):
    first = len(args) - sum(moves)
    undefined = [ad.is_undefined_primal(arg) for arg in args[first:]]
    each = iter(undefined)
    asked = tuple(by and next(each) for by in moves)
    found = iter(
      gradient_p.bind(*args[:first], cotangent, moves=asked, **params)
    )
    return [None] * first + [next(found) if u else None for u in undefined]

  ad.primitive_jvps[fused_p] = fused_jvp
  ad.primitive_transposes[tangent_p] = transpose
  return fused_p


@functools.cache
def _jitted(function: Any, static: tuple[str, ...]) -> Any:
  return jax.jit(function, static_argnames=static)


def _gradient_shapes(*args, moves, **_):
  return [ShapedArray(a.shape, a.dtype) for a, by in zip(args, moves) if by]


def derive_by_parts(primitive: Primitive, parts: Any) -> None:
  """The derivative is that of the parts; the value is the kernels'."""

  def jvp(primals, tangents, **params):
    tangents = tuple(map(ad.instantiate_zeros, tangents))
    moved = jax.jvp(functools.partial(parts, **params), primals, tangents)[1]
    return primitive.bind(*primals, **params), moved

  ad.primitive_jvps[primitive] = jvp
