"""A trained network as an ONNX file, for runtimes that know nothing of JAX.

export_onnx(load_network('runs/digits/train'), 'digits.onnx')

The graph is built from the genotype, a node for each layer, and what operations
say of themselves. A trace of the program would have, in place of convolutions,
the shifted products and C++ kernels that compute them here.
"""

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from opp_darts_jax import files
from opp_darts_jax.errors import UserError, check_type
from opp_darts_jax.genotypes.genotype import Cell
from opp_darts_jax.networks.cell import edge_stride
from opp_darts_jax.networks.export.torch_weights import network_to_torch
from opp_darts_jax.networks.network import AUXILIARY, Network
from opp_darts_jax.networks.trained_network import TrainedNetwork
from opp_darts_jax.operations import plain
from opp_darts_jax.operations.onnx_graph import Graph
from opp_darts_jax.spaces.skeleton import Part, SkeletonExport

# ONNX's versions of 2022, of operators and file format: runtimes know them.
_OPSET, _FORMAT = 17, 8
# (graph, name, x, stride) -> what an operation gives; as `Operation.onnx`.
Nodes = Callable[[Any, str, str, int], str]


def export_onnx(network: TrainedNetwork, path: str | pathlib.Path) -> None:
  """Writes a network as one ONNX file, whole or not at all.

  The model's input 'images' is what the network takes: uint8 (n, H, W, C), any
  n, as they are. Its output 'logits' is float32 (n, classes), computed in
  float32 whatever the network computes in. 'class_names' in its metadata is a
  JSON list: label k is the k-th name. Weights are named as in PyTorch.

  Args:
    network: whose operations say what they are in ONNX; those that draw random
      numbers, such as `noise`, do not.
    path: of the file.

  Raises:
    UserError: if the package onnx is not installed, an operation or the
      skeleton cannot be exported, or the file cannot be written.
  """
  check_type('what is exported', network, TrainedNetwork)
  check_type('the path of a file', path, str, os.PathLike)
  path = pathlib.Path(path)
  model = _model(network)
  try:
    with files.replacing(path) as temporary:
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
  # Asked first, as they say more of what is missing than a missing name does.
  operations = _operations(network.model)
  skeleton = network.model.space.export('ONNX')
  graph = Graph(helper, network_to_torch(network.variables, network.model))
  _add_network(graph, network, skeleton, operations)
  nodes = list(graph.nodes.values())
  read = {name for node in nodes for name in node.input}
  _check_read(graph, read)
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


def _check_read(graph: Graph, read: set[str]) -> None:
  """Raises `UserError` unless nodes read every weight, and nothing else."""
  own = (n for n in graph.arrays if not n.startswith(f'{AUXILIARY}.'))
  unread = [name for name in own if name not in read]
  unknown = read - {'images', *graph.arrays, *graph.nodes}
  if unread or unknown:
    fault = (
      f'no node reads the weight {unread[0]}'
      if unread
      else f'there is no {min(unknown)}, which a node reads'
    )
    raise UserError(
      f'The network cannot be exported to ONNX: {fault}; what an operation, or '
      'the skeleton of the space, says of itself (onnx, torch, export) does '
      'not fit its weights.'
    )


def _operations(model: Network) -> dict[str, Nodes]:
  """What adds the nodes of each operation, by its name; '' is that of zeros.

  Raises:
    UserError: on an operation that ONNX does not have.
  """
  operations = {'': plain.none()}
  for name in model.genotype.operations:
    operations[name] = model.space.operation(name).in_network
  nodes = {}
  for name, operation in operations.items():
    if operation.onnx is None:
      raise UserError(
        f'The operation {name!r} cannot be exported to ONNX: expected a '
        'network whose operations draw no random numbers and say what they are '
        'there.'
      )
    nodes[name] = operation.onnx
  return nodes


def _add_network(
  graph: Graph,
  network: TrainedNetwork,
  skeleton: SkeletonExport,
  operations: dict[str, Nodes],
) -> None:
  """The whole network, from 'images' to 'logits'."""
  model = network.model
  graph.arrays['mean'] = 255 * np.asarray(network.mean)
  graph.arrays['std'] = 255 * np.asarray(network.std)
  x = graph.add('pixels', 'Cast', 'images', to=1)  # To float32.
  x = graph.add('centred', 'Sub', x, 'mean')
  x = graph.add('normalised', 'Div', x, 'std')
  x = graph.add('channels_first', 'Transpose', x, perm=[0, 3, 1, 2])
  outputs = skeleton.stem_nodes(graph, x, model.imagenet)
  for number, part in enumerate(model.plan):
    name = f'cells.{number}'
    if part.kind:
      cell = model.genotype[part.kind]
      states = skeleton.input_nodes(graph, name, part, outputs)
      model.space.check_inputs(len(states), 'skeleton (export.input_nodes)')
      edges = f'{name}.{skeleton.edge}'
      _add_nodes(graph, edges, states, cell, part, operations)
      graph.add(name, 'Concat', *(states[n] for n in cell.output), axis=1)
      outputs = (*outputs[1:], name)
    else:
      block = skeleton.block_node(graph, name, part, outputs[-1])
      outputs = (*outputs[1:], block)
  x = graph.add(
    'pooled', 'GlobalAveragePool', skeleton.last_node(graph, outputs[-1])
  )
  x = graph.add('features', 'Flatten', x)
  inputs = (x, 'classifier.weight', 'classifier.bias')
  graph.add('logits', 'Gemm', *inputs, transB=1)


def _add_nodes(
  graph: Graph,
  edges: str,
  states: list[str],
  cell: Cell,
  part: Part,
  operations: dict[str, Nodes],
) -> None:
  """Appends a cell's intermediate nodes to its inputs, `states`."""
  for node in range(cell.inputs, cell.inputs + cell.nodes):
    name = f'{edges}.node{node}'
    total = ''
    for i, (operation, source, to) in enumerate(cell.edges):
      if to != node:
        continue
      stride = edge_stride(cell, source, part)
      try:
        output = operations[operation](
          graph, f'{edges}.{i}', states[source], stride
        )
      except KeyError as error:
        raise UserError(
          f'The operation {operation!r} cannot be exported to ONNX: it reads '
          f'{error} there, which is no weight that it has in PyTorch.'
        ) from error
      total = (
        graph.add(f'{name}.{i}', 'Add', total, output) if total else output
      )
    if not total:
      total = operations[''](graph, name, states[0], 1 + part.reduction)
    states.append(total)
