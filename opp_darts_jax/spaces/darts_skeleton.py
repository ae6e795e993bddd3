"""What puts the cells of DARTS together (Liu et al., ICLR 2019).

In PyTorch it has the names of its public code.
"""

import functools
from collections.abc import Iterator

import flax.linen as nn
import jax

from opp_darts_jax.errors import UserError
from opp_darts_jax.operations import entries
from opp_darts_jax.operations.entries import Entry
from opp_darts_jax.operations.layers import Classifier, ConvNorm, Preprocess
from opp_darts_jax.operations.onnx_graph import Graph
from opp_darts_jax.operations.torch_names import FACTORIZED_REDUCE
from opp_darts_jax.spaces.skeleton import (
  BORDER,
  Arrays,
  Names,
  Part,
  Skeleton,
  SkeletonExport,
  no_block,
  no_names,
  reduction_layers,
  same_node,
)


def _plan(
  layers: int, channels: int, imagenet: bool = False
) -> tuple[Part, ...]:
  """Reduction cells at a third and two thirds; they double the channels.

  Raises:
    UserError: on an odd number of channels for large images.
  """
  if imagenet and channels % 2:
    raise UserError(
      'Expected an even number of channels in a network for large images '
      f'(imagenet), whose first layers have half of them, got {channels}.'
    )
  parts = []
  after_reduction = imagenet  # Its two stems differ in resolution.
  for layer in range(layers):
    reduction = layer in reduction_layers(layers)
    channels *= 1 + reduction
    kind = 'reduce' if reduction else 'normal'
    parts.append(
      Part(f'cell{layer}', kind, channels, reduction, after_reduction)
    )
    after_reduction = reduction
  return tuple(parts)


def _stem(
  images: jax.Array, channels: int, imagenet: bool, train: bool
) -> Arrays:
  """One convolution; for large images three, which divide sides by eight."""
  if not imagenet:
    stem = ConvNorm(3 * channels, size=3, padding=1, name='stem')
    s1 = stem(images, train)
    return s1, s1
  halve = functools.partial(ConvNorm, size=3, stride=2, padding=1)
  x = nn.relu(halve(channels // 2, name='stem0')(images, train))
  s0 = halve(channels, name='stem1')(x, train)
  return s0, halve(channels, name='stem2')(nn.relu(s0), train)


def _inputs(outputs: Arrays, part: Part, affine: bool, train: bool) -> Arrays:
  preprocess = Preprocess(
    part.channels, part.after_reduction, affine, name='preprocess'
  )
  s0, s1 = outputs
  return preprocess(s0, s1, train)


def _head(x: jax.Array, classes: int, train: bool) -> jax.Array:
  del train
  return Classifier(classes, name='classifier')(x)


def _stem_names(imagenet: bool) -> Iterator[Entry]:
  if not imagenet:
    yield from entries.conv_norm('stem', '0', '1', ('stem',))
    return
  yield from entries.conv_norm('stem0', '0', '1', ('stem0',))
  yield from entries.conv_norm('stem0', '3', '4', ('stem1',))
  yield from entries.conv_norm('stem1', '1', '2', ('stem2',))


def _input_names(prefix: str, part: Part, affine: bool) -> Iterator[Entry]:
  for i in range(2):
    name = f'{prefix}.preprocess{i}'
    path = (part.name, 'preprocess', f'input{i}')
    if i == 0 and part.after_reduction:
      for leaf in FACTORIZED_REDUCE:
        leaf_path = ('params', *path, leaf.leaf)
        yield Entry(f'{name}.{leaf.name}', leaf_path, leaf.index, leaf.layout)
      yield from entries.norm(f'{name}.bn', (*path, 'norm'), affine)
    else:
      yield from entries.conv_norm(f'{name}.op', '1', '2', path, affine)


def _auxiliary_names(imagenet: bool) -> Iterator[Entry]:
  head = 'auxiliary_head'
  features = f'{head}.features'
  yield from entries.conv_norm(features, '2', '3', (head, 'conv0'))
  if imagenet:
    yield entries.conv(f'{features}.5', (head, 'conv1'))
  else:
    yield from entries.conv_norm(features, '5', '6', (head, 'conv1'))
  yield from entries.classifier(f'{head}.classifier', (head, 'classifier'))


def _head_names() -> Iterator[Entry]:
  return entries.classifier('classifier', ('classifier',))


def _stem_nodes(graph: Graph, x: str, imagenet: bool) -> Names:
  if not imagenet:
    s1 = graph.norm(graph.conv(x, 'stem.0', pads=BORDER), 'stem.1')
    return s1, s1
  halve = functools.partial(graph.conv, strides=[2, 2], pads=BORDER)
  x = graph.norm(halve(x, 'stem0.0'), 'stem0.1')
  s0 = graph.norm(halve(graph.relu(x), 'stem0.3'), 'stem0.4')
  return s0, graph.norm(halve(graph.relu(s0), 'stem1.1'), 'stem1.2')


def _input_nodes(
  graph: Graph, prefix: str, part: Part, outputs: Names
) -> list[str]:
  states = []
  for i, x in enumerate(outputs):
    name = f'{prefix}.preprocess{i}'
    if i == 0 and part.after_reduction:
      states.append(graph.factorized_reduce(x, name))
    else:
      x = graph.conv(graph.relu(x), f'{name}.op.1')
      states.append(graph.norm(x, f'{name}.op.2'))
  return states


DARTS = Skeleton(
  _plan,
  _stem,
  _inputs,
  no_block,
  _head,
  auxiliary=True,
  imagenet=True,
  export=SkeletonExport(
    '_ops',
    _stem_names,
    _input_names,
    no_names,
    _head_names,
    _auxiliary_names,
    _stem_nodes,
    _input_nodes,
    same_node,
    lambda graph, x: x,
  ),
)
"""Of DARTS (sections 2 and 3): each cell takes the outputs of the two before
it, brought to its channels and one resolution."""
