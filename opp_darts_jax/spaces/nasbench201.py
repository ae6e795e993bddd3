"""The topology space of NAS-Bench-201 (Dong and Yang, ICLR 2020).

A cell has one input and three further nodes, each the sum of its edges from all
nodes before it; the last one is the output. Of 5 operations on 6 edges there
are 15,625 cells. Cells keep channels and resolution: residual blocks between
three groups of them halve one and double the other.

In the published search norms use the statistics of the batch whenever they are
evaluated; here they keep running averages for that, as in the other spaces.
"""

from collections.abc import Iterator

import flax.linen as nn
import jax
import jax.numpy as jnp

from opp_darts_jax.benchmarks import nasbench201 as benchmark
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.nasbench201_form import (
  GRAPH,
  KIND,
  from_text,
  to_text,
)
from opp_darts_jax.operations import entries, plain
from opp_darts_jax.operations.dense import conv, uniform
from opp_darts_jax.operations.entries import Entry
from opp_darts_jax.operations.layers import Classifier, ConvNorm
from opp_darts_jax.operations.norm import BatchNorm, measure
from opp_darts_jax.operations.onnx_graph import Graph
from opp_darts_jax.operations.operation import Operation, halved
from opp_darts_jax.operations.torch_names import (
  CONV,
  TorchNames,
  TorchWeight,
)
from opp_darts_jax.spaces.skeleton import (
  BORDER,
  Arrays,
  Names,
  Part,
  Skeleton,
  SkeletonExport,
  no_names,
  reduction_layers,
)
from opp_darts_jax.spaces.space import Space, derive_every_edge


def relu_conv_norm(name: str, size: int) -> Operation:
  """ReLU, a dense convolution, BN, as in NAS-Bench-201.

  In a supernet, whose norms have no bias, the convolution has one.
  """

  def init(key, copies, channels, stride):
    weights = init_derived(key, copies, channels, stride)
    bias_key = jax.random.fold_in(key, 1)
    fan_in = size * size * channels
    return weights | {'bias': uniform(bias_key, (*copies, channels), fan_in)}

  def init_derived(key, copies, channels, stride):
    del stride
    shape = (*copies, size, size, channels, channels)
    return {'kernel': uniform(key, shape, size * size * channels)}

  def apply(params, x, norm, stride, key):
    del key
    border = (size // 2,) * 2
    y = conv(jax.nn.relu(x), params['kernel'], (stride, stride), border)
    return norm(
      measure(y + params.get('bias', jnp.zeros((), y.dtype))), 0
    ).value

  def multiply_adds(channels, stride, x_size):
    height, width = halved(x_size, stride)
    return size * size * channels * channels * height * width

  def torch(stride):
    weights, norms = torch_derived(stride)
    return TorchNames((*weights, TorchWeight('op.1.bias', 'bias')), norms)

  def torch_derived(stride):
    del stride
    kernel = TorchWeight('op.1.weight', 'kernel', (), CONV)
    return TorchNames((kernel,), ('op.2',))

  def onnx(graph, name, x, stride):
    x = graph.conv(
      graph.relu(x),
      f'{name}.op.1',
      strides=[stride] * 2,
      pads=[size // 2] * 4,
    )
    return graph.norm(x, f'{name}.op.2')

  derived = Operation(
    name,
    init_derived,
    apply,
    norms=lambda stride: 1,
    parametric=True,
    drawn='convolution',
    multiply_adds=multiply_adds,
    torch=torch_derived,
    onnx=onnx,
  )
  return derived._replace(init=init, torch=torch, derived=derived)


class ResidualBlock(nn.Module):
  """Halves the resolution: two 3x3 convolutions beside a pooled 1x1 one.

  Attributes:
    channels: of the output.
  """

  channels: int

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """(B, H, W, C), H and W even -> (B, H / 2, W / 2, channels)."""
    if x.shape[1] % 2 or x.shape[2] % 2:
      raise UserError(
        'Networks of NAS-Bench-201 halve images twice: expected a height and a '
        f'width that are multiples of 4 (data.image_size), got {x.shape[1]} x '
        f'{x.shape[2]} pixels to halve.'
      )
    first = ConvNorm(self.channels, 3, stride=2, padding=1, name='conv0')
    second = ConvNorm(self.channels, 3, padding=1, name='conv1')
    y = second(nn.relu(first(nn.relu(x), train)), train)
    shortcut = ConvNorm(self.channels, norm=False, name='shortcut')
    return y + shortcut(nn.avg_pool(x, (2, 2), (2, 2)), train)


def _plan(layers: int, channels: int, imagenet: bool) -> tuple[Part, ...]:
  """Three groups of cells with a block between two of them."""
  del imagenet
  parts: list[Part] = []
  for layer in range(layers):
    if layer in reduction_layers(layers):
      channels *= 2
      name = f'block{sum(part.reduction for part in parts)}'
      parts.append(Part(name, '', channels, reduction=True))
    parts.append(Part(f'cell{layer}', KIND, channels))
  return tuple(parts)


def _stem(
  images: jax.Array, channels: int, imagenet: bool, train: bool
) -> Arrays:
  del imagenet
  return (ConvNorm(channels, size=3, padding=1, name='stem')(images, train),)


def _inputs(outputs: Arrays, part: Part, affine: bool, train: bool) -> Arrays:
  del part, affine, train  # They are of the cell's channels already.
  return outputs


def _block(x: jax.Array, part: Part, train: bool) -> jax.Array:
  return ResidualBlock(part.channels, name=part.name)(x, train)


def _head(x: jax.Array, classes: int, train: bool) -> jax.Array:
  x = nn.relu(BatchNorm(name='last_norm')(x, train))
  return Classifier(classes, name='classifier')(x)


def _stem_names(imagenet: bool) -> Iterator[Entry]:
  del imagenet
  return entries.conv_norm('stem', '0', '1', ('stem',))


def _block_names(prefix: str, part: Part) -> Iterator[Entry]:
  for ours, theirs in (('conv0', 'conv_a'), ('conv1', 'conv_b')):
    path = (part.name, ours)
    yield from entries.conv_norm(f'{prefix}.{theirs}.op', '1', '2', path)
  yield entries.conv(f'{prefix}.downsample.1', (part.name, 'shortcut'))


def _head_names() -> Iterator[Entry]:
  yield from entries.norm('lastact.0', ('last_norm',))
  yield from entries.classifier('classifier', ('classifier',))


def _stem_nodes(graph: Graph, x: str, imagenet: bool) -> Names:
  del imagenet
  return (graph.norm(graph.conv(x, 'stem.0', pads=BORDER), 'stem.1'),)


def _block_node(graph: Graph, prefix: str, part: Part, x: str) -> str:
  del part
  y = x
  for name, stride in (('conv_a', 2), ('conv_b', 1)):
    y = graph.conv(
      graph.relu(y),
      f'{prefix}.{name}.op.1',
      strides=[stride] * 2,
      pads=BORDER,
    )
    y = graph.norm(y, f'{prefix}.{name}.op.2')
  shortcut = f'{prefix}.downsample'
  window = {'kernel_shape': [2, 2], 'strides': [2, 2]}
  x = graph.add(f'{shortcut}.0', 'AveragePool', x, **window)
  return graph.add(prefix, 'Add', y, graph.conv(x, f'{shortcut}.1'))


NASBENCH201 = Space(
  'nasbench201',
  (
    plain.none(),
    plain.skip_connect(),
    relu_conv_norm('nor_conv_1x1', 1),
    relu_conv_norm('nor_conv_3x3', 3),
    plain.avg_pool_3x3().in_network,  # No norm follows it.
  ),
  graph=GRAPH,
  kinds=(KIND,),
  skeleton=Skeleton(
    _plan,
    _stem,
    _inputs,
    _block,
    _head,
    export=SkeletonExport(
      'layers',
      _stem_names,
      no_names,
      _block_names,
      _head_names,
      no_names,
      _stem_nodes,
      lambda graph, prefix, part, outputs: list(outputs),
      _block_node,
      lambda graph, x: graph.relu(graph.norm(x, 'lastact.0')),
    ),
  ),
  derive=derive_every_edge,
  to_text=to_text,
  from_text=from_text,
  truth=benchmark.truth,
)
"""One table of alphas, 6 x 5; 15 cells, of 16 channels at first, there."""
