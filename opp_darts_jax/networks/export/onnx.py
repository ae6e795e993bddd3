"""A trained network as an ONNX file, for runtimes that know nothing of JAX.

export_onnx(load_network('runs/digits/train'), 'digits.onnx')

The graph is built from the genotype, a node for each layer. A trace of the
program would have, in place of convolutions, the shifted products and C++
kernels that compute them here.
"""

import functools
import json
import pathlib
from typing import Any

import numpy as np

from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.genotype import Edge
from opp_darts_jax.genotypes.space import NONE, SKIP
from opp_darts_jax.networks.export.torch_names import operation_names
from opp_darts_jax.networks.export.torch_weights import network_to_torch
from opp_darts_jax.networks.network import edge_stride
from opp_darts_jax.networks.trained import TrainedNetwork
from opp_darts_jax.operations.layers import cell_plan
from opp_darts_jax.operations.norm import EPSILON
from opp_darts_jax.operations.primitives import PRIMITIVES
from opp_darts_jax.running import metrics

# ONNX's versions of 2022, of operators and file format: runtimes know them.
_OPSET, _FORMAT = 17, 8
_POOLS = {'max_pool_3x3': 'MaxPool', 'avg_pool_3x3': 'AveragePool'}


def export_onnx(network: TrainedNetwork, path: str | pathlib.Path) -> None:
  """Writes a network as one ONNX file, whole or not at all.

  The model's input 'images' is what the network takes: uint8 (n, H, W, C), any
  n, as they are. Its output 'logits' is float32 (n, classes), computed in
  float32 whatever the network computes in. 'class_names' in its metadata is a
  JSON list: label k is the k-th name. Weights are named as in PyTorch DARTS.

  Args:
    network: without operations that draw random numbers, such as `noise`.
    path: of the file.

  Raises:
    UserError: if the package onnx is not installed, an operation cannot be
      exported, or the file cannot be written.
  """
  path = pathlib.Path(path)
  model = _model(network)
  try:
    with metrics.replacing(path) as temporary:
      temporary.write_bytes(model.SerializeToString(deterministic=True))
  except OSError as error:
    raise UserError(
      f'Expected a path to write to, got {path}: {error.strerror}.'
    ) from error


def _model(network: TrainedNetwork) -> Any:
  """The network as an onnx.ModelProto."""
  try:
    import onnx  # Here, as it is an extra.
  except ImportError as error:
    raise UserError(
      'Exporting to ONNX needs the package onnx: '
      "pip install 'opp_darts_jax[onnx]'."
    ) from error
  helper: Any = onnx.helper
  graph = _Graph(helper, network_to_torch(network.variables, network.model))
  _add_network(graph, network)
  nodes = list(graph.nodes.values())
  read = {name for node in nodes for name in node.input}
  weights = [
    onnx.numpy_helper.from_array(array.astype(np.float32), name)
    for name, array in graph.arrays.items()
    if name in read  # The auxiliary head's are not.
  ]
  value, kinds = helper.make_tensor_value_info, onnx.TensorProto
  images = value('images', kinds.UINT8, ('n', *network.image_shape))
  logits = value('logits', kinds.FLOAT, ('n', network.model.classes))
  model = helper.make_model(
    helper.make_graph(nodes, 'network', [images], [logits], weights),
    producer_name='opp_darts_jax',
    opset_imports=[helper.make_opsetid('', _OPSET)],
    ir_version=_FORMAT,
  )
  class_names = json.dumps(network.class_names, ensure_ascii=False)
  helper.set_model_props(model, {'class_names': class_names})
  return model


class _Graph:
  """Nodes on images (n, C, H, W), in order, each named as what it gives.

  Attributes:
    arrays: name -> array; what nodes may read.
    nodes: name -> onnx.NodeProto.
  """

  def __init__(self, helper: Any, arrays: dict[str, np.ndarray]) -> None:
    self._helper = helper
    self.arrays = arrays
    self.nodes: dict[str, Any] = {}

  def add(
    self, name: str, operator: str, *inputs: str, **attributes: Any
  ) -> str:
    """Adds a node of an ONNX operator and returns its name."""
    self.nodes[name] = self._helper.make_node(
      operator, inputs, [name], name, **attributes
    )
    return name

  def relu(self, x: str) -> str:
    """Rectifies; once, however many layers want it of x."""
    name = f'{x}.relu'
    return name if name in self.nodes else self.add(name, 'Relu', x)

  def conv(self, x: str, name: str, **attributes: Any) -> str:
    """A convolution with the kernel `name`.weight and ONNX's attributes."""
    weight = f'{name}.weight'
    size = self.arrays[weight].shape[2:]
    return self.add(name, 'Conv', x, weight, kernel_shape=size, **attributes)

  def norm(self, x: str, name: str) -> str:
    """Batch normalisation by running averages."""
    leaves = ('weight', 'bias', 'running_mean', 'running_var')
    inputs = [x, *(f'{name}.{leaf}' for leaf in leaves)]
    return self.add(name, 'BatchNormalization', *inputs, epsilon=EPSILON)

  def factorized_reduce(self, x: str, name: str) -> str:
    """ReLU, two 1x1 convolutions of stride 2 a pixel apart, and BN.

    The two are corners of one 2x2 convolution, which is as fast, as it needs
    no shifted copy of the images.
    """
    first, second = (self.arrays[f'{name}.conv_{i}.weight'] for i in (1, 2))
    last, leading = [(0, 0)] * 2 + [(0, 1)] * 2, [(0, 0)] * 2 + [(1, 0)] * 2
    kernel = np.concatenate([np.pad(first, last), np.pad(second, leading)])
    self.arrays[f'{name}.conv.weight'] = kernel
    x = self.relu(x)
    x = self.conv(x, f'{name}.conv', strides=[2, 2], pads=[0, 0, 1, 1])
    return self.norm(x, f'{name}.bn')


def _add_network(graph: _Graph, network: TrainedNetwork) -> None:
  """The whole network, from 'images' to 'logits'."""
  model, genotype = network.model, network.model.genotype
  graph.arrays['mean'] = 255 * np.asarray(network.mean)
  graph.arrays['std'] = 255 * np.asarray(network.std)
  x = graph.add('pixels', 'Cast', 'images', to=1)  # To float32.
  x = graph.add('centred', 'Sub', x, 'mean')
  x = graph.add('normalised', 'Div', x, 'std')
  x = graph.add('channels_first', 'Transpose', x, perm=[0, 3, 1, 2])
  s0, s1 = _add_stem(graph, x, model.imagenet)
  plan = cell_plan(model.layers, model.channels, model.imagenet)
  for layer, (_, reduction, after_reduction) in enumerate(plan):
    name = f'cells.{layer}'
    edges = genotype.reduce if reduction else genotype.normal
    concat = genotype.reduce_concat if reduction else genotype.normal_concat
    nodes = _add_cell(graph, name, (s0, s1), edges, reduction, after_reduction)
    graph.add(name, 'Concat', *(nodes[node] for node in concat), axis=1)
    s0, s1 = s1, name
  x = graph.add('pooled', 'GlobalAveragePool', s1)
  x = graph.add('features', 'Flatten', x)
  inputs = (x, 'classifier.weight', 'classifier.bias')
  graph.add('logits', 'Gemm', *inputs, transB=1)


def _add_stem(graph: _Graph, x: str, imagenet: bool) -> tuple[str, str]:
  """The inputs of the first cell."""
  border = [1, 1, 1, 1]
  if not imagenet:
    s1 = graph.norm(graph.conv(x, 'stem.0', pads=border), 'stem.1')
    return s1, s1
  halve = functools.partial(graph.conv, strides=[2, 2], pads=border)
  x = graph.norm(halve(x, 'stem0.0'), 'stem0.1')
  s0 = graph.norm(halve(graph.relu(x), 'stem0.3'), 'stem0.4')
  return s0, graph.norm(halve(graph.relu(s0), 'stem1.1'), 'stem1.2')


def _add_cell(
  graph: _Graph,
  cell: str,
  inputs: tuple[str, str],
  edges: tuple[Edge, ...],
  reduction: bool,
  after_reduction: bool,
) -> list[str]:
  """The nodes of a cell on the outputs of the two before it."""
  states = []
  for i, x in enumerate(inputs):
    name = f'{cell}.preprocess{i}'
    if i == 0 and after_reduction:
      states.append(graph.factorized_reduce(x, name))
    else:
      x = graph.conv(graph.relu(x), f'{name}.op.1')
      states.append(graph.norm(x, f'{name}.op.2'))

  def edge(i: int) -> str:
    operation, source = edges[i]
    stride = edge_stride(source, reduction)
    name = f'{cell}._ops.{i}'
    return _add_operation(graph, name, operation, states[source], stride)

  for i in range(0, len(edges), 2):
    name = f'{cell}.node{len(states)}'
    states.append(graph.add(name, 'Add', edge(i), edge(i + 1)))
  return states


def _add_operation(
  graph: _Graph, name: str, operation: str, x: str, stride: int
) -> str:
  """One operation on x; the names of its weights begin with `name`."""
  strides = [stride, stride]
  weights, norms = operation_names(operation, stride)
  convs = [f'{name}.{weight.removesuffix(".weight")}' for weight, *_ in weights]
  separable = PRIMITIVES[operation].separable
  if separable:
    border = separable.dilation * (separable.size - 1) // 2
    for i, norm in enumerate(norms):
      depthwise, pointwise = convs[2 * i : 2 * i + 2]
      x = graph.conv(
        graph.relu(x),
        depthwise,
        strides=[1, 1] if i else strides,
        pads=[border] * 4,
        dilations=[separable.dilation] * 2,
        group=len(graph.arrays[f'{depthwise}.weight']),
      )
      x = graph.norm(graph.conv(x, pointwise), f'{name}.{norm}')
    return x
  if operation == 'conv_7x1_1x7':
    row, column = convs
    x = graph.conv(graph.relu(x), row, strides=[1, stride], pads=[0, 3, 0, 3])
    x = graph.conv(x, column, strides=[stride, 1], pads=[3, 0, 3, 0])
    return graph.norm(x, f'{name}.{norms[0]}')
  if operation == SKIP:
    return x if stride == 1 else graph.factorized_reduce(x, name)
  if operation in _POOLS:
    window = {'kernel_shape': [3, 3], 'pads': [1] * 4, 'strides': strides}
    return graph.add(name, _POOLS[operation], x, **window)
  if operation == NONE:
    window = {'kernel_shape': [1, 1], 'strides': strides}
    x = graph.add(f'{name}.pixels', 'MaxPool', x, **window)
    return graph.add(name, 'Sub', x, x)
  raise UserError(
    f'The operation {operation!r} cannot be exported to ONNX: expected a '
    'network whose operations draw no random numbers.'
  )
