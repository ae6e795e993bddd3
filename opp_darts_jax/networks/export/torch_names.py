"""What the tensors of the PyTorch code of DARTS are called, and are to us.

Both kinds of network are described by one table: an `Entry` for each tensor of
the state dict, which says where in our variables it lives and how its axes lie.
PyTorch keeps images as NCHW, kernels as OIHW and a copy of everything on every
edge.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from opp_darts_jax.errors import check_choice
from opp_darts_jax.genotypes.space import SKIP
from opp_darts_jax.networks.network import Network, edge_stride
from opp_darts_jax.operations.layers import cell_plan, reduction_layers
from opp_darts_jax.supernet.edges import CellOperation, cell_operations
from opp_darts_jax.supernet.supernet import Supernet


class Layout(NamedTuple):
  """Axes of a PyTorch tensor: ours transposed, then some of size 1 inserted."""

  order: tuple[int, ...]
  inserted: tuple[int, ...] = ()

  def to_torch(self, array: np.ndarray) -> np.ndarray:
    """Ours -> PyTorch's."""
    return np.expand_dims(array.transpose(self.order), self.inserted)

  def from_torch(self, array: np.ndarray) -> np.ndarray:
    """PyTorch's -> ours."""
    return np.squeeze(array, self.inserted).transpose(np.argsort(self.order))


VECTOR = Layout((0,))
LINEAR = Layout((1, 0))
CONV = Layout((3, 2, 0, 1))  # (h, w, C, D) -> (D, C, h, w)
DEPTHWISE = Layout((2, 0, 1), (1,))  # (k, k, C) -> (C, 1, k, k)
POINTWISE = Layout((1, 0), (2, 3))  # (C, D) -> (D, C, 1, 1)
ROW = Layout((2, 1, 0), (2,))  # (7, C, D) -> (D, C, 1, 7)
COLUMN = Layout((2, 1, 0), (3,))  # (7, C, D) -> (D, C, 7, 1)


class Entry(NamedTuple):
  """A tensor of a state dict.

  Attributes:
    name: in the state dict.
    path: of the leaf in our variables, 'params' or 'batch_stats' first.
    index: of its part in the leaf's leading axes.
    layout: of its axes.
  """

  name: str
  path: tuple[str, ...]
  index: tuple[int, ...] = ()  # type: ignore[assignment]
  layout: Layout = VECTOR


def supernet_entries(
  model: Supernet, order: Sequence[str] | None = None
) -> Iterator[Entry]:
  """Every tensor of a supernet; see `supernet_from_torch`."""
  order = tuple(model.space.operations if order is None else order)
  for name in order:
    check_choice(
      f'operation of space {model.space.name!r}', name, model.space.operations
    )
  yield from _conv_norm('stem', '0', '1', 'stem')
  plan = cell_plan(model.layers, model.channels)
  for layer, (channels, reduction, after_reduction) in enumerate(plan):
    yield from _preprocess(layer, after_reduction, affine=False)
    mask_EK = model.space.mask(model.nodes)['reduce' if reduction else 'normal']
    columns = [model.space.operations.index(name) for name in order]
    for o in cell_operations(model.space, model.nodes, channels, reduction):
      if o.name in order:
        before = columns[: order.index(o.name)]
        yield from _copies(o, layer, mask_EK[:, before].sum(1))
  yield from _linear('classifier', 'classifier')


def _copies(
  operation: CellOperation, layer: int, positions_E: np.ndarray
) -> Iterator[Entry]:
  """An operation of a search cell, on every edge that has it."""
  path = (f'cell{layer}', operation.name)
  for phase in operation.phases:
    if not operation.norms(phase) or not operation.present(phase):
      continue  # What has no norms has no weights either.
    slots = operation.slots(phase)
    for source, edges in enumerate(phase.edges_SD):
      for destination, edge in enumerate(edges):
        if edge not in operation.edges:
          continue
        at = (source,) if operation.shared(phase) else (source, destination)
        row = int(slots[at])
        prefix = f'cells.{layer}._ops.{edge}._ops.{positions_E[edge]}.'
        weights, norms = operation_names(operation.name, phase.stride)
        if operation.primitive.search_norm:
          norms = ('1',)
        for suffix, leaf, index, layout in weights:
          leaf_path = ('params', *path, leaf)
          yield Entry(prefix + suffix, leaf_path, (row, *index), layout)
        for i, suffix in enumerate(norms):
          yield from _running(prefix + suffix, path, (row, i))


def network_entries(network: Network) -> Iterator[Entry]:
  """Every tensor of an evaluation network."""
  if network.imagenet:
    yield from _conv_norm('stem0', '0', '1', 'stem0')
    yield from _conv_norm('stem0', '3', '4', 'stem1')
    yield from _conv_norm('stem1', '1', '2', 'stem2')
  else:
    yield from _conv_norm('stem', '0', '1', 'stem')
  plan = cell_plan(network.layers, network.channels, network.imagenet)
  for layer, (_, reduction, after_reduction) in enumerate(plan):
    yield from _preprocess(layer, after_reduction, affine=True)
    genotype = network.genotype
    edges = genotype.reduce if reduction else genotype.normal
    for i, (name, source) in enumerate(edges):
      stride = edge_stride(source, reduction)
      path = (f'cell{layer}', f'edge{i}')
      yield from operation_entries(
        name, stride, f'cells.{layer}._ops.{i}.', path
      )
    if network.auxiliary and layer == reduction_layers(network.layers)[1]:
      head = 'auxiliary_head'
      yield from _conv_norm(f'{head}.features', '2', '3', head, 'conv0')
      if network.imagenet:
        kernel = ('params', head, 'conv1', 'kernel')
        yield Entry(f'{head}.features.5.weight', kernel, layout=CONV)
      else:
        yield from _conv_norm(f'{head}.features', '5', '6', head, 'conv1')
      yield from _linear(f'{head}.classifier', head, 'classifier')
  yield from _linear('classifier', 'classifier')


def operation_entries(
  name: str, stride: int, prefix: str = '', path: tuple[str, ...] = ()
) -> Iterator[Entry]:
  """The tensors of `network.Operation` at this path."""
  weights, norms = operation_names(name, stride)
  for suffix, leaf, index, layout in weights:
    leaf_path = ('params', *path, 'weights', leaf)
    yield Entry(prefix + suffix, leaf_path, index, layout)
  for i, suffix in enumerate(norms):
    yield from _norm(prefix + suffix, (*path, f'norm{i}'))


def operation_names(
  name: str, stride: int
) -> tuple[list[tuple[str, str, tuple[int, ...], Layout]], tuple[str, ...]]:
  """What the tensors of one copy of an operation are called.

  Returns:
    (PyTorch's name, our leaf, index in it, layout) of each weight, and
    PyTorch's name of each norm.
  """
  if name.startswith(('sep_conv', 'dil_conv')):
    # Sequences of ReLU, depthwise, pointwise, norm: one or two of them.
    starts = (0, 4) if name.startswith('sep_conv') else (0,)
    weights: list[tuple[str, str, tuple[int, ...], Layout]] = []
    for i, start in enumerate(starts):
      depthwise = (f'op.{start + 1}.weight', 'depthwise', (i,), DEPTHWISE)
      pointwise = (f'op.{start + 2}.weight', 'pointwise', (i,), POINTWISE)
      weights += [depthwise, pointwise]
    return weights, tuple(f'op.{start + 3}' for start in starts)
  if name == 'conv_7x1_1x7':
    row = ('1.weight', 'row', (), ROW)
    return [row, ('2.weight', 'column', (), COLUMN)], ('3',)
  if name == SKIP and stride == 2:
    return _factorized_reduce(), ('bn',)
  return [], ()


def _factorized_reduce() -> list[tuple[str, str, tuple[int, ...], Layout]]:
  return [
    (f'conv_{i + 1}.weight', 'pointwise', (i,), POINTWISE) for i in range(2)
  ]


def _preprocess(
  layer: int, after_reduction: bool, affine: bool
) -> Iterator[Entry]:
  for i in range(2):
    name = f'cells.{layer}.preprocess{i}'
    path = (f'cell{layer}', 'preprocess', f'input{i}')
    if i == 0 and after_reduction:
      for suffix, leaf, index, layout in _factorized_reduce():
        yield Entry(f'{name}.{suffix}', ('params', *path, leaf), index, layout)
      yield from _norm(f'{name}.bn', (*path, 'norm'), affine)
    else:
      yield from _conv_norm(f'{name}.op', '1', '2', *path, affine=affine)


def _conv_norm(
  prefix: str, conv: str, norm: str, *path: str, affine: bool = True
) -> Iterator[Entry]:
  kernel = ('params', *path, 'kernel')
  yield Entry(f'{prefix}.{conv}.weight', kernel, layout=CONV)
  yield from _norm(f'{prefix}.{norm}', (*path, 'norm'), affine)


def _norm(
  prefix: str, path: tuple[str, ...], affine: bool = True
) -> Iterator[Entry]:
  if affine:
    yield Entry(f'{prefix}.weight', ('params', *path, 'scale'))
    yield Entry(f'{prefix}.bias', ('params', *path, 'bias'))
  yield from _running(prefix, (*path, 'norm'))


def _running(
  prefix: str, path: tuple[str, ...], index: tuple[int, ...] = ()
) -> Iterator[Entry]:
  for ours in ('mean', 'var'):
    yield Entry(f'{prefix}.running_{ours}', ('batch_stats', *path, ours), index)


def _linear(prefix: str, *path: str) -> Iterator[Entry]:
  path = ('params', *path, 'linear')
  yield Entry(f'{prefix}.weight', (*path, 'kernel'), layout=LINEAR)
  yield Entry(f'{prefix}.bias', (*path, 'bias'))
