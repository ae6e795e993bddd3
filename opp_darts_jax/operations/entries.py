"""Tensors of PyTorch state dicts, and where in our variables they live.

An `Entry` for each tensor says where it lives and how its axes lie. PyTorch
keeps a copy of everything on every edge.
"""

from collections.abc import Iterator
from typing import NamedTuple

from opp_darts_jax.errors import UserError
from opp_darts_jax.operations.operation import Operation
from opp_darts_jax.operations.torch_names import (
  CONV,
  LINEAR,
  VECTOR,
  Layout,
  TorchNames,
)


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


def torch_names(operation: Operation, stride: int) -> TorchNames:
  """The names of an operation; UserError if it has none."""
  if operation.torch is None:
    raise UserError(
      f'The operation {operation.name!r} cannot be exported to PyTorch: its '
      'record does not say what its weights are called there.'
    )
  return operation.torch(stride)


def operation_entries(
  operation: Operation,
  stride: int,
  prefix: str = '',
  path: tuple[str, ...] = (),
) -> Iterator[Entry]:
  """The tensors of an `EdgeOperation`.

  Args:
    operation: in its form for networks.
    stride: of the edge.
    prefix: of the names, with the dot at its end.
    path: of the module in our variables.

  Raises:
    UserError: if the operation has no names in PyTorch.
  """
  weights, norms = torch_names(operation, stride)
  for weight in weights:
    leaf_path = ('params', *path, 'weights', weight.leaf)
    yield Entry(prefix + weight.name, leaf_path, weight.index, weight.layout)
  for i, name in enumerate(norms):
    yield from norm(prefix + name, (*path, f'norm{i}'))


def conv_norm(
  prefix: str,
  conv_name: str,
  norm_name: str,
  path: tuple[str, ...],
  affine: bool = True,
) -> Iterator[Entry]:
  """The tensors of a `ConvNorm` or `ReluConvNorm`."""
  yield conv(f'{prefix}.{conv_name}', path)
  yield from norm(f'{prefix}.{norm_name}', (*path, 'norm'), affine)


def conv(prefix: str, path: tuple[str, ...]) -> Entry:
  """The kernel of a convolution."""
  return Entry(f'{prefix}.weight', ('params', *path, 'kernel'), layout=CONV)


def norm(
  prefix: str, path: tuple[str, ...], affine: bool = True
) -> Iterator[Entry]:
  """The tensors of a `BatchNorm`."""
  if affine:
    yield Entry(f'{prefix}.weight', ('params', *path, 'scale'))
    yield Entry(f'{prefix}.bias', ('params', *path, 'bias'))
  yield from averages(prefix, (*path, 'norm'))


def averages(
  prefix: str, path: tuple[str, ...], index: tuple[int, ...] = ()
) -> Iterator[Entry]:
  """The running averages of a normalisation."""
  for ours in ('mean', 'var'):
    yield Entry(f'{prefix}.running_{ours}', ('batch_stats', *path, ours), index)


def classifier(prefix: str, path: tuple[str, ...]) -> Iterator[Entry]:
  """The tensors of a `Classifier`."""
  path = ('params', *path, 'linear')
  yield Entry(f'{prefix}.weight', (*path, 'kernel'), layout=LINEAR)
  yield Entry(f'{prefix}.bias', (*path, 'bias'))
