"""Functions whose gradient is computed in a way of its own.

A gradient is the transposition of a derivative. Where it can be had for less
than keeping all that the derivative knows, a `jax.custom_vjp` says how, but has
no derivative forward. A `jax.custom_jvp` whose derivative is a `linear_call`
has derivatives of every order, in both directions. That of JAX itself,
`jax.custom_derivatives.linear_call`, has none by its residuals.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import ClosedJaxpr, Primitive, jaxpr_as_fun
from jax.interpreters import ad, batching, mlir


def linear_call(
  function: Callable[[Any, Any], Any],
  transposed: Callable[[Any, Any], Any],
  residuals: Any,
  tangents: Any,
) -> Any:
  """Calls a function that is linear in its second argument.

  Args:
    function: (residuals, tangents) -> results.
    transposed: (residuals, results' cotangents) -> the tangents' cotangents.
    residuals: pytree of arrays, all that the two need to know.
    tangents: pytree of arrays.

  Returns:
    What the function gives. Under vmap, and for derivatives by the residuals,
    JAX finds the transposition itself.
  """
  args, tree = jax.tree.flatten((residuals, tangents))
  jaxpr, shapes = jax.make_jaxpr(function, return_shape=True)(
    residuals, tangents
  )
  results = jax.tree.structure(shapes)

  def flat_transposed(args, cotangents):
    residuals, _ = jax.tree.unflatten(tree, args)
    return jax.tree.leaves(
      transposed(residuals, jax.tree.unflatten(results, cotangents))
    )

  outs = _linear_p.bind(
    *args,
    jaxpr=jaxpr,
    transposed=flat_transposed,
    residuals=len(jax.tree.leaves(residuals)),
  )
  return jax.tree.unflatten(results, outs)


def moving(tangents: Any) -> list[bool]:
  """Of each leaf, for a `custom_jvp` with `symbolic_zeros`: if it moves."""
  return [not isinstance(t, SymbolicZero) for t in jax.tree.leaves(tangents)]


def pick(tree: Any, which: Sequence[bool]) -> list[Any]:
  """Those of a tree's leaves."""
  return [leaf for leaf, by in zip(jax.tree.leaves(tree), which) if by]


def spread(leaves: Sequence[Any], which: Sequence[bool], like: Any) -> Any:
  """Undoes `pick`: a tree like another, which is zero elsewhere."""
  others, tree = jax.tree.flatten(like)
  each = iter(leaves)
  return jax.tree.unflatten(
    tree,
    [
      next(each) if by else jnp.zeros_like(other)
      for other, by in zip(others, which)
    ],
  )


def _parts(*args: Any, jaxpr: ClosedJaxpr, **_: Any) -> list[Any]:
  return jaxpr_as_fun(jaxpr)(*args)


def _jvp(primals: Any, tangents: Any, **params: Any) -> Any:
  def parts(*args):
    return _parts(*args, **params)

  tangents = tuple(map(ad.instantiate_zeros, tangents))
  return jax.jvp(parts, tuple(primals), tangents)


def _transpose(
  cotangents: Any, *args: Any, transposed: Any, residuals: int, **_: Any
) -> Any:
  found = transposed(args, list(map(ad.instantiate_zeros, cotangents)))
  return [None] * residuals + [
    g if ad.is_undefined_primal(arg) else None
    for g, arg in zip(found, args[residuals:])
  ]


def _batch(args: Any, axes: Any, **params: Any) -> Any:
  def parts(*args):
    return _parts(*args, **params)

  outs = jax.vmap(parts, axes)(*args)
  return outs, [0] * len(outs)


_linear_p = Primitive('linear_call')
_linear_p.multiple_results = True
_linear_p.def_impl(_parts)
_linear_p.def_abstract_eval(lambda *_, jaxpr, **__: jaxpr.out_avals)
mlir.register_lowering(_linear_p, mlir.lower_fun(_parts, multiple_results=True))
ad.primitive_jvps[_linear_p] = _jvp
ad.primitive_transposes[_linear_p] = _transpose
batching.primitive_batchers[_linear_p] = _batch
