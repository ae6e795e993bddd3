"""State dicts of the PyTorch code of DARTS, in and out.

Both kinds of network are described by one table: a `Entry` for each tensor of
the state dict, which says where in our variables it lives and how its axes lie.
PyTorch keeps images as NCHW, kernels as OIHW and a copy of everything on every
edge; `num_batches_tracked`, which nothing reads, is ignored.
"""

import functools
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.errors import UserError, check_choice
from opp_darts_jax.layers import cell_plan, reduction_layers
from opp_darts_jax.network import Network, edge_stride
from opp_darts_jax.supernet import CellOperation, Supernet, cell_operations

StateDict = Mapping[str, np.ndarray]

# As many names of each kind are listed where a state dict does not fit.
_LISTED = 8


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


def supernet_from_torch(
  state_dict: StateDict, model: Supernet, order: Sequence[str] | None = None
) -> dict[str, Any]:
  """Variables of a supernet from a state dict of the search's `Network`.

  Args:
    state_dict: name -> array. Running averages may be left out; initial ones
      take their place.
    model: the supernet.
    order: the operations in it, as `_ops.E._ops.K` counts them on every edge
      that may have them; by default all of the space, in its order. Weights of
      operations that it leaves out are zero, their running averages initial.

  Returns:
    {'params': ..., 'batch_stats': ...}.

  Raises:
    UserError: if names or shapes do not fit; it lists them.
  """
  tables = {
    cell: np.zeros(mask.shape, np.float32)
    for cell, mask in model.space.mask(model.nodes).items()
  }

  def init(images):
    mask = model.space.mask(model.nodes)
    return model.init(jax.random.key(0), images, tables, mask, train=False)

  entries = supernet_entries(model, order)
  return _load(entries, _shapes(init, state_dict), state_dict, 'supernet')


def supernet_to_torch(
  variables: Any, model: Supernet, order: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
  """The inverse of `supernet_from_torch`.

  A pool's running averages, kept once a source here, go to each of its edges.
  Variables without 'batch_stats', gradients for instance, give none.
  """
  return dump(supernet_entries(model, order), variables)


def network_from_torch(
  state_dict: StateDict, network: Network
) -> dict[str, Any]:
  """Variables of a network from a state dict of `NetworkCIFAR`.

  Args:
    state_dict: name -> array. Running averages may be left out.
    network: of the same genotype, with an auxiliary head if and only if the
      state dict has one.

  Returns:
    {'params': ..., 'batch_stats': ...}.

  Raises:
    UserError: if names or shapes do not fit; it lists them.
  """

  def init(images):
    return network.init(jax.random.key(0), images, train=False)

  entries = network_entries(network)
  return _load(entries, _shapes(init, state_dict), state_dict, 'network')


def network_to_torch(variables: Any, network: Network) -> dict[str, np.ndarray]:
  """The inverse of `network_from_torch`."""
  return dump(network_entries(network), variables)


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
    if not operation.norms(phase):
      continue  # It has no weights either.
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
  yield from _conv_norm('stem', '0', '1', 'stem')
  plan = cell_plan(network.layers, network.channels)
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
  if name == 'skip_connect' and stride == 2:
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
  kernel = ('params', *path, 'conv', 'kernel')
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


def dump(entries: Iterable[Entry], variables: Any) -> dict[str, np.ndarray]:
  """The tensors of our variables, for the collections that they have."""
  variables = jax.device_get(variables)
  return {
    e.name: e.layout.to_torch(_leaf(variables, e.path)[e.index])
    for e in entries
    if e.path[0] in variables
  }


def load(
  entries: Iterable[Entry], shapes: Any, state_dict: StateDict
) -> tuple[dict[str, Any], list[str]]:
  """Variables from tensors.

  Args:
    entries: the tensors.
    shapes: of the variables.
    state_dict: name -> array.

  Returns:
    The variables, zero where no tensor belongs and initial where a running
    average is missing; and what does not fit, as phrases.
  """

  def initial(path, leaf):
    running_variance = path[0].key == 'batch_stats' and path[-1].key == 'var'
    fill = np.ones if running_variance else np.zeros
    return fill(leaf.shape, leaf.dtype)

  variables = jax.tree_util.tree_map_with_path(initial, shapes)
  names, missing, wrong = set(), [], []
  for entry in entries:
    names.add(entry.name)
    if entry.name not in state_dict:
      if entry.path[0] == 'params':
        missing.append(entry.name)
      continue
    part = _leaf(variables, entry.path)[entry.index]
    tensor = np.asarray(state_dict[entry.name])
    expected = entry.layout.to_torch(part).shape
    if tensor.shape == expected:
      part[...] = entry.layout.from_torch(tensor)
    else:
      wrong.append(f'{entry.name} {tensor.shape} instead of {expected}')
  unexpected = [
    name
    for name in state_dict
    if name not in names and not name.endswith('.num_batches_tracked')
  ]
  faults = {'missing': missing, 'unexpected': unexpected, 'wrong shape': wrong}
  phrases = [_phrase(kind, found) for kind, found in faults.items() if found]
  return jax.tree.map(jnp.asarray, variables), phrases


def _phrase(kind: str, found: Sequence[str]) -> str:
  rest = len(found) - _LISTED
  more = f' and {rest} more' if rest > 0 else ''
  return f'{kind}: {", ".join(found[:_LISTED])}{more}'


def _load(
  entries: Iterable[Entry], shapes: Any, state_dict: StateDict, what: str
) -> dict[str, Any]:
  variables, faults = load(entries, shapes, state_dict)
  if faults:
    raise UserError(
      f'The state dict does not fit the {what}; {"; ".join(faults)}.'
    )
  return variables


def _shapes(init: Any, state_dict: StateDict) -> Any:
  """Shapes of the variables for images of as many channels as the stem has."""
  stem = np.shape(state_dict.get('stem.0.weight', ()))
  channels = stem[1] if len(stem) == 4 else 3
  return jax.eval_shape(init, jnp.zeros((1, 32, 32, channels)))


def _leaf(tree: Any, path: Sequence[str]) -> Any:
  return functools.reduce(operator.getitem, path, tree)
