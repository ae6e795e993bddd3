"""What is around the operations in ONNX, skeleton by skeleton.

Weights have their names in PyTorch, as in skeleton_names.py.
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

from opp_darts_jax.networks.export.onnx_graph import Graph
from opp_darts_jax.networks.export.skeleton_names import skeleton_names
from opp_darts_jax.spaces import nasbench201, skeleton
from opp_darts_jax.spaces.skeleton import Part, Skeleton
from opp_darts_jax.spaces.space import Space

Names = tuple[str, ...]
_BORDER = [1, 1, 1, 1]


class SkeletonGraph(NamedTuple):
  """The nodes of a skeleton.

  Attributes:
    stem: (graph, images, imagenet) -> what the first cell takes.
    inputs: (graph, prefix, part, outputs) -> the input nodes of a cell.
    block: (graph, prefix, part, x) -> what a block gives.
    last: (graph, outputs) -> what is pooled and classified.
  """

  stem: Callable[[Graph, str, bool], Names]
  inputs: Callable[[Graph, str, Part, Names], list[str]]
  block: Callable[[Graph, str, Part, str], str]
  last: Callable[[Graph, Names], str]


def skeleton_graph(space: Space) -> SkeletonGraph:
  """The nodes for networks of a space; UserError if there are none."""
  skeleton_names(space, 'ONNX')  # Whoever has names has nodes.
  return SKELETONS[space.skeleton]


def _darts_stem(graph: Graph, x: str, imagenet: bool) -> Names:
  if not imagenet:
    s1 = graph.norm(graph.conv(x, 'stem.0', pads=_BORDER), 'stem.1')
    return s1, s1
  halve = functools.partial(graph.conv, strides=[2, 2], pads=_BORDER)
  x = graph.norm(halve(x, 'stem0.0'), 'stem0.1')
  s0 = graph.norm(halve(graph.relu(x), 'stem0.3'), 'stem0.4')
  return s0, graph.norm(halve(graph.relu(s0), 'stem1.1'), 'stem1.2')


def _darts_inputs(
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


def _no_block(graph: Graph, prefix: str, part: Part, x: str) -> str:
  del graph, prefix, part
  return x


def _bench_stem(graph: Graph, x: str, imagenet: bool) -> Names:
  del imagenet
  return (graph.norm(graph.conv(x, 'stem.0', pads=_BORDER), 'stem.1'),)


def _bench_block(graph: Graph, prefix: str, part: Part, x: str) -> str:
  del part
  y = x
  for name, stride in (('conv_a', 2), ('conv_b', 1)):
    y = graph.conv(
      graph.relu(y),
      f'{prefix}.{name}.op.1',
      strides=[stride] * 2,
      pads=_BORDER,
    )
    y = graph.norm(y, f'{prefix}.{name}.op.2')
  shortcut = f'{prefix}.downsample'
  window = {'kernel_shape': [2, 2], 'strides': [2, 2]}
  x = graph.add(f'{shortcut}.0', 'AveragePool', x, **window)
  return graph.add(prefix, 'Add', y, graph.conv(x, f'{shortcut}.1'))


SKELETONS: Mapping[Skeleton, SkeletonGraph] = {
  skeleton.DARTS: SkeletonGraph(
    _darts_stem,
    _darts_inputs,
    _no_block,
    lambda graph, outputs: outputs[-1],
  ),
  nasbench201.NASBENCH201.skeleton: SkeletonGraph(
    _bench_stem,
    lambda graph, prefix, part, outputs: list(outputs),
    _bench_block,
    lambda graph, outputs: graph.relu(graph.norm(outputs[-1], 'lastact.0')),
  ),
}
