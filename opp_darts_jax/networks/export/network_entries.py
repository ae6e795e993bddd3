"""Every tensor of a network in PyTorch's names."""

from collections.abc import Iterator

from opp_darts_jax.networks.cell import edge_stride
from opp_darts_jax.networks.export.entries import Entry, operation_entries
from opp_darts_jax.networks.export.skeleton_names import skeleton_names
from opp_darts_jax.networks.network import Network


def network_entries(network: Network) -> Iterator[Entry]:
  """Every tensor of a network.

  Raises:
    UserError: if the skeleton of its space, or an operation, has no names in
      PyTorch.
  """
  space = network.space
  names = skeleton_names(space)
  yield from names.stem(network.imagenet)
  for number, part in enumerate(network.plan):
    prefix = f'cells.{number}'
    if not part.kind:
      yield from names.block(prefix, part)
      continue
    yield from names.inputs(prefix, part, True)
    cell = network.genotype[part.kind]
    for i, (name, source, _) in enumerate(cell.edges):
      yield from operation_entries(
        space.operation(name).in_network,
        edge_stride(cell, source, part),
        f'{prefix}.{names.edge}.{i}.',
        (part.name, f'edge{i}'),
      )
  if network.auxiliary:
    yield from names.auxiliary(network.imagenet)
  yield from names.head()
