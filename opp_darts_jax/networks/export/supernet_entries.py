"""Every tensor of a supernet in the names of the PyTorch code of DARTS."""

from collections.abc import Iterator, Sequence

import numpy as np

from opp_darts_jax.errors import UserError, check_choice
from opp_darts_jax.operations import entries
from opp_darts_jax.operations.entries import Entry
from opp_darts_jax.spaces import darts_skeleton
from opp_darts_jax.supernet.edges import CellOperation, cell_operations
from opp_darts_jax.supernet.supernet import Supernet


def supernet_entries(
  model: Supernet, order: Sequence[str] | None = None
) -> Iterator[Entry]:
  """Every tensor of a supernet; see `supernet_from_torch`.

  Raises:
    UserError: on operations in `order` that the space does not have, and if
      the skeleton of the space, or an operation, has no names in PyTorch.
  """
  space = model.space
  order = tuple(space.names if order is None else order)
  for name in order:
    check_choice(f'operation of space {space.name!r}', name, space.names)
  if space.skeleton != darts_skeleton.DARTS or model.partial is not None:
    raise UserError(
      f'This supernet of space {space.name!r} has no names in PyTorch: only '
      'those with the skeleton of DARTS, whose operations see all channels, '
      'have.'
    )
  names = space.export()
  masks = space.mask()
  columns = [space.names.index(name) for name in order]
  yield from names.stem_names(False)
  plan = space.skeleton.plan(model.layers, model.channels, False)
  for number, part in enumerate(plan):
    prefix = f'cells.{number}'
    yield from names.input_names(prefix, part, False)
    mask_EK = masks[part.kind]
    for o in cell_operations(space, part.kind, part.channels, part.reduction):
      if o.name in order:
        # Operations of an edge are counted without those it cannot have.
        before = columns[: order.index(o.name)]
        positions_E = mask_EK[:, before].sum(1)
        path = (part.name, o.name)
        yield from _copies(o, path, f'{prefix}.{names.edge}', positions_E)
  yield from names.head_names()


def _copies(
  operation: CellOperation,
  path: tuple[str, str],
  prefix: str,
  positions_E: np.ndarray,
) -> Iterator[Entry]:
  """An operation of a search cell, on every edge that has it."""
  for phase in operation.phases:
    weights, norms = entries.torch_names(operation.operation, phase.stride)
    if not (weights or norms) or not operation.present(phase):
      continue
    slots = operation.slots(phase)
    for source, edges in enumerate(phase.edges_SD):
      for destination, edge in enumerate(edges):
        if edge not in operation.edges:
          continue
        at = (source,) if operation.shared(phase) else (source, destination)
        row = int(slots[at])
        start = f'{prefix}.{edge}._ops.{positions_E[edge]}.'
        for weight in weights:
          leaf_path = ('params', *path, weight.leaf)
          index = (row, *weight.index)
          yield Entry(start + weight.name, leaf_path, index, weight.layout)
        for i, name in enumerate(norms):
          yield from entries.averages(start + name, path, (row, i))
