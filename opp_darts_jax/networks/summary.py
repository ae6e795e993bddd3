"""A network before it is trained: its parts, weights and multiply-adds."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from opp_darts_jax.networks.network import Network, count_weights, edge_stride
from opp_darts_jax.operations.depthwise import out_size
from opp_darts_jax.operations.layers import cell_plan

Size = tuple[int, int]
_AUXILIARY = 'auxiliary_head'


class Part(NamedTuple):
  """A stem, a cell, a classifier, or the auxiliary head.

  Attributes:
    name: as among the weights.
    kind: 'normal' or 'reduction' for a cell, else ''.
    shape: of what it gives for one image.
    weights: how many there are.
    multiply_adds: of its convolutions and linear layers, for one image.
  """

  name: str
  kind: str
  shape: tuple[int, ...]
  weights: int
  multiply_adds: int


class Totals(NamedTuple):
  """Of a network, the auxiliary head, which only training has, left out."""

  weights: int
  multiply_adds: int


def describe(network: Network, image_shape: Sequence[int]) -> list[Part]:
  """The parts of a network for images (H, W, C), in order.

  Nothing is computed. A convolution multiplies each of its weights once for
  every pixel that it gives; norms, pools, sums and biases do not count.
  """
  images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
  keys = {name: jax.random.key(0) for name in ('params', 'noise')}
  params = jax.eval_shape(
    lambda keys, images: network.init(keys, images, train=True), keys, images
  )['params']
  size: Size = (image_shape[0], image_shape[1])
  parts = []

  def add(name, shape, multiply_adds, kind=''):
    weights = count_weights({'params': params[name]})
    parts.append(Part(name, kind, shape, weights, multiply_adds))

  for name in [name for name in params if name.startswith('stem')]:
    size = _halved(size) if network.imagenet else size
    kernel = params[name]['kernel']
    add(name, (*size, kernel.shape[-1]), _dense(kernel, size))
  plan = cell_plan(network.layers, network.channels, network.imagenet)
  for layer, (channels, reduction, _) in enumerate(plan):
    name = f'cell{layer}'
    genotype = network.genotype
    edges = genotype.reduce if reduction else genotype.normal
    concat = genotype.reduce_concat if reduction else genotype.normal_concat
    preprocess = _kernels(params[name]['preprocess'])
    multiply_adds = sum(_dense(kernel, size) for kernel in preprocess)
    out = _halved(size) if reduction else size
    for i, (_, source) in enumerate(edges):
      weights = params[name].get(f'edge{i}', {}).get('weights', {})
      for leaf, kernel in weights.items():
        pixels = out
        if leaf == 'row' and edge_stride(source, reduction) == 2:
          pixels = (size[0], out[1])  # It has the stride of its own axis.
        multiply_adds += _dense(kernel, pixels)
    size = out
    kind = 'reduction' if reduction else 'normal'
    add(name, (*size, len(concat) * channels), multiply_adds, kind)
  kernel = params['classifier']['linear']['kernel']
  add('classifier', (network.classes,), _dense(kernel, (1, 1)))
  if _AUXILIARY in params:
    add(_AUXILIARY, (network.classes,), 0)
  return parts


def totals(parts: Sequence[Part]) -> Totals:
  """Weights and multiply-adds of a network that has been trained."""
  own = [part for part in parts if part.name != _AUXILIARY]
  return Totals(
    sum(part.weights for part in own), sum(part.multiply_adds for part in own)
  )


def table(network: Network, image_shape: Sequence[int]) -> str:
  """The parts as lines of text, with totals and the memory of the weights."""
  parts = describe(network, image_shape)
  lines = [
    f'{"part":<15}{"kind":<11}{"gives":<17}{"weights":>12}{"M mult-adds":>13}'
  ]
  for part in parts:
    shape = 'x'.join(map(str, part.shape))
    head = part.name == _AUXILIARY
    million = '-' if head else f'{part.multiply_adds / 1e6:.2f}'
    lines.append(
      f'{part.name:<15}{part.kind:<11}{shape:<17}{part.weights:>12,}'
      f'{million:>13}'
    )
  own = totals(parts)
  lines.append(
    f'{"network":<43}{own.weights:>12,}{own.multiply_adds / 1e6:>13.2f}'
  )
  trained = sum(part.weights for part in parts)
  lines.append(
    f'Training keeps {3 * 4 * trained / 1e6:.1f} MB of weights, gradients and '
    'momentum, besides what the cells compute.'
  )
  return '\n'.join(lines)


def _kernels(params: Mapping[str, Any]) -> list[Any]:
  """Kernels of convolutions: not the scales and biases of norms."""
  return [
    leaf
    for path, leaf in jax.tree.leaves_with_path(params)
    if path[-1].key in ('kernel', 'pointwise')
  ]


def _dense(kernel: Any, size: Size) -> int:
  return math.prod(kernel.shape) * size[0] * size[1]


def _halved(size: Size) -> Size:
  return out_size(size[0], 2), out_size(size[1], 2)
