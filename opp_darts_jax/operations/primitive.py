"""How primitives of JAX are defined: what they compile to, and their rules."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from opp_darts_jax.operations.target import Target, traced_for

# What JAX lowers for -> `Target.platform`.
_PLATFORMS = {'cpu': 'cpu', 'cuda': 'gpu', 'rocm': 'gpu', 'tpu': 'tpu'}


def compile_eagerly(primitive: Primitive) -> None:
  """Outside of jit the primitive is compiled, once for its parameters."""

  @functools.cache
  def compiled(params):
    return jax.jit(functools.partial(primitive.bind, **dict(params)))

  primitive.def_impl(
    lambda *args, **params: compiled(tuple(params.items()))(*args)
  )


def lower(
  primitive: Primitive, choose: Callable[[str], Callable[..., Any] | None]
) -> None:
  """Lowers to what is chosen for a `Target.platform`; None: not there."""

  def trace(function, platform, *args, **params):
    with traced_for(Target(platform)):
      return function(*args, **params)

  for name, platform in _PLATFORMS.items():
    function = choose(platform)
    if function is not None:
      traced = functools.partial(trace, function, platform)
      rule = mlir.lower_fun(traced, primitive.multiple_results)
      mlir.register_lowering(primitive, rule, platform=name)


def define_channelwise(
  name: str, shape: Any, choose: Callable[[str], Callable[..., jax.Array]]
) -> Primitive:
  """A primitive of two arrays (B, H, W, C) that never mixes their channels.

  Args:
    name: of the primitive.
    shape: (the arrays' shapes, parameters) -> the result's.
    choose: platform -> the implementation there: (the arrays, parameters) ->
      the result.
  """
  primitive = Primitive(name)
  compile_eagerly(primitive)
  primitive.def_abstract_eval(shape)
  lower(primitive, choose)
  batching.primitive_batchers[primitive] = functools.partial(_batch, primitive)
  return primitive


def _batch(
  primitive: Primitive, args: Any, axes: Any, **params: Any
) -> tuple[jax.Array, int]:
  """vmap: the mapped axis becomes channels, which never mix here."""
  count = next(a.shape[axis] for a, axis in zip(args, axes) if axis is not None)

  def to_channels(array, axis):
    if axis is None:
      array = jnp.broadcast_to(
        array[..., None, :], (*array.shape[:-1], count, array.shape[-1])
      )
    else:
      array = jnp.moveaxis(array, axis, -2)
    return array.reshape(*array.shape[:-2], -1)

  out = primitive.bind(*map(to_channels, args, axes), **params)
  out = out.reshape(*out.shape[:-1], count, -1)
  return out, out.ndim - 2


def define_by_parts(
  name: str, parts: Any, shapes: Any, lowered: Any
) -> Primitive:
  """A primitive of the CPU, which is derived and mapped as its parts.

  Args:
    name: of the primitive.
    parts: (arguments, parameters) -> results, for JAX to derive, and to compile
      elsewhere; None if there are none.
    shapes: the same, of shapes.
    lowered: the same, as it is to be compiled for a CPU.
  """
  primitive = Primitive(name)
  primitive.multiple_results = True
  compile_eagerly(primitive)
  primitive.def_abstract_eval(shapes)
  lower(primitive, lambda platform: lowered if platform == 'cpu' else parts)

  def jvp(primals, tangents, **params):
    tangents = map(ad.instantiate_zeros, tangents)
    function = functools.partial(parts, **params)
    return jax.jvp(function, tuple(primals), tuple(tangents))

  def batch(args, axes, **params):
    mapped = [a for a, axis in zip(args, axes) if axis is not None]
    mapped_axes = [axis for axis in axes if axis is not None]

    def one(mapped):
      each = iter(mapped)
      return primitive.bind(
        *(a if x is None else next(each) for a, x in zip(args, axes)), **params
      )

    outs = lax.map(
      one, list(map(jnp.moveaxis, mapped, mapped_axes, [0] * len(mapped)))
    )
    return outs, [0] * len(outs)

  ad.primitive_jvps[primitive] = jvp
  batching.primitive_batchers[primitive] = batch
  return primitive
