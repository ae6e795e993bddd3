"""Primitives on lists: all their arguments' first axis is a list.

Mapped by `jax.vmap`, lists are put one after the other: what would be another
kernel is more places in the grid of the same.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching

from opp_darts_jax.operations.primitive import compile_eagerly, lower


def define(
  name: str,
  shapes: Callable[..., Any],
  lowered: Callable[..., Any],
  multiple_results: bool = False,
) -> Primitive:
  """A primitive on lists, without rules for derivatives.

  Args:
    name: of the primitive.
    shapes: (the arguments' shapes, parameters) -> those of the results.
    lowered: (arguments, parameters) -> results, as kernels. A parameter `lists`
      says what the lists are; its `repeated(n)` is n of them, one after the
      other.
    multiple_results: whether there are several.
  """
  primitive = Primitive(name)
  primitive.multiple_results = multiple_results
  compile_eagerly(primitive)
  primitive.def_abstract_eval(shapes)
  lower(primitive, lambda _: lowered)

  def batch(args, axes, **params):
    count = next(
      arg.shape[axis] for arg, axis in zip(args, axes) if axis is not None
    )

    def one_list(arg, axis):
      if axis is None:
        arg = jnp.broadcast_to(arg[None], (count, *arg.shape))
      else:
        arg = jnp.moveaxis(arg, axis, 0)
      return arg.reshape(-1, *arg.shape[2:])

    params['lists'] = params['lists'].repeated(count)
    outs = primitive.bind(*map(one_list, args, axes), **params)
    outs = jax.tree.map(lambda t: t.reshape(count, -1, *t.shape[1:]), outs)
    return outs, [0] * len(outs) if multiple_results else 0

  batching.primitive_batchers[primitive] = batch
  return primitive


def define_multilinear(primitive: Primitive, count: int) -> None:
  """The derivative of what is linear in all arguments but the last of them."""

  def rule(position):
    def moved(tangent, *args, **params):
      args = (*args[:position], tangent, *args[position + 1 :])
      return primitive.bind(*args, **params)

    return moved

  ad.defjvp(primitive, *map(rule, range(count - 1)), None)
