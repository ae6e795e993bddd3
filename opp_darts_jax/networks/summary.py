"""A network before it is trained: its parts, weights and multiply-adds."""

import collections
import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from opp_darts_jax.networks.cell import EdgeOperation
from opp_darts_jax.networks.network import AUXILIARY, Network, count_weights


class LayerRow(NamedTuple):
  """A stem, a cell, a block, a classifier, or the auxiliary head.

  Attributes:
    name: as among the weights.
    kind: of a cell, as in the genotype; else ''.
    shape: of what it gives for one image, of several arrays the last; () if it
      is not told, as of a module that is called by another method than its own.
    weights: how many there are.
    multiply_adds: of its convolutions and linear layers, for one image.
    uncounted: the operations in it that have weights and do not say how many
      they take.
  """

  name: str
  kind: str
  shape: tuple[int, ...]
  weights: int
  multiply_adds: int
  uncounted: tuple[str, ...] = ()


class Totals(NamedTuple):
  """Of a network, the auxiliary head, which only training has, left out.

  Attributes:
    weights: how many there are.
    multiply_adds: of one image, those of `uncounted` left out.
    uncounted: the operations that do not say how many they take.
  """

  weights: int
  multiply_adds: int
  uncounted: tuple[str, ...] = ()


def describe(network: Network, image_shape: Sequence[int]) -> list[LayerRow]:
  """The parts of a network for images (H, W, C), in order.

  Nothing is computed. A convolution multiplies each of its weights once for
  every pixel that it gives; norms, pools, sums and biases do not count. An
  operation says itself what it takes; one with weights that does not is
  `uncounted`.
  """
  shapes: dict[str, tuple[int, ...]] = {}
  multiply_adds: dict[str, int] = {}
  uncounted: dict[str, list[str]] = collections.defaultdict(list)

  def watch(call, args, kwargs, context):
    output = call(*args, **kwargs)
    path = context.module.path
    if context.method_name == '__call__' and path:
      # A part is done after what is inside of it.
      number = _multiply_adds(context.module, args, output)
      if _is_uncounted(context.module):
        uncounted[path[0]].append(context.module.operation.name)
      multiply_adds[path[0]] = multiply_adds.get(path[0], 0) + number
      if len(path) == 1:
        shapes[path[0]] = _shape(output)[1:]
    return output

  images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
  keys = {name: jax.random.key(0) for name in ('params', 'noise')}
  with nn.intercept_methods(watch):
    init = functools.partial(network.init, train=True)
    params = jax.eval_shape(init, keys, images)['params']
  kinds = {part.name: part.kind for part in network.plan}
  parts = [
    LayerRow(
      name,
      kinds.get(name, ''),
      shapes.get(name, ()),
      count_weights({'params': params.get(name, {})}),
      multiply_adds.get(name, 0) if name != AUXILIARY else 0,
      tuple(dict.fromkeys(uncounted[name])),
    )
    for name in dict.fromkeys([*shapes, *params])
  ]
  return sorted(parts, key=lambda part: part.name == AUXILIARY)


def totals(parts: Sequence[LayerRow]) -> Totals:
  """Weights and multiply-adds of a network that has been trained."""
  own = [part for part in parts if part.name != AUXILIARY]
  return Totals(
    sum(part.weights for part in own),
    sum(part.multiply_adds for part in own),
    tuple(dict.fromkeys(name for part in own for name in part.uncounted)),
  )


def of_network(network: Network, image_shape: Sequence[int]) -> dict[str, Any]:
  """Size and totals of a network, as results of runs have them."""
  counted = totals(describe(network, image_shape))
  size = {'layers': network.layers, 'channels': network.channels}
  uncounted = list(counted.uncounted)  # As JSON has it.
  return {**size, **counted._asdict(), 'uncounted': uncounted}


def table(parts: Sequence[LayerRow]) -> str:
  """The parts as lines of text, with totals and the memory of the weights."""
  lines = [
    f'{"part":<15}{"kind":<11}{"gives":<17}{"weights":>12}{"M mult-adds":>13}'
  ]
  for part in parts:
    shape = 'x'.join(map(str, part.shape))
    known = part.name != AUXILIARY and not part.uncounted
    million = f'{part.multiply_adds / 1e6:.2f}' if known else '-'
    lines.append(
      f'{part.name:<15}{part.kind:<11}{shape:<17}{part.weights:>12,}'
      f'{million:>13}'
    )
  own = totals(parts)
  lines.append(
    f'{"network":<43}{own.weights:>12,}{own.multiply_adds / 1e6:>13.2f}'
  )
  if own.uncounted:
    lines.append(
      f'Not among the multiply-adds are those of {", ".join(own.uncounted)}: '
      'their records do not say them (multiply_adds).'
    )
  trained = sum(part.weights for part in parts)
  lines.append(
    f'Training keeps {3 * 4 * trained / 1e6:.1f} MB of weights, gradients and '
    'momentum, besides what the cells compute.'
  )
  return '\n'.join(lines)


def _is_uncounted(module: nn.Module) -> bool:
  """Whether it is an operation with weights that does not count them."""
  if not isinstance(module, EdgeOperation):
    return False
  own = jax.tree.leaves(module.variables.get('params', {}).get('weights', {}))
  return bool(own) and not module.operation.says_multiply_adds


def _multiply_adds(module: nn.Module, args: Any, output: Any) -> int:
  """Of the kernels that a module itself has, not those inside of it."""
  if isinstance(module, EdgeOperation):
    size = args[0].shape[1:3]
    count = module.operation.multiply_adds
    return count(module.channels, module.stride, size)
  own = module.variables.get('params', {}).values()
  kernels = [leaf for leaf in own if getattr(leaf, 'ndim', 0) > 1]
  # Of (B, H, W, C) it is H x W pixels, of (B, C) one.
  pixels = math.prod(_shape(output)[1:-1])
  return sum(kernel.size * pixels for kernel in kernels)


def _shape(output: Any) -> tuple[int, ...]:
  """Of the last array that a module gives."""
  return next((tuple(x.shape) for x in jax.tree.leaves(output)[::-1]), ())
