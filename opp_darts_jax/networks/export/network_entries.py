"""Every tensor of a network in PyTorch's names."""

from collections.abc import Iterator

from opp_darts_jax.errors import check_type
from opp_darts_jax.networks.cell import edge_stride
from opp_darts_jax.networks.network import Network
from opp_darts_jax.operations.entries import Entry, operation_entries


def network_entries(network: Network) -> Iterator[Entry]:
  """Every tensor of a network.

  Raises:
    UserError: if the skeleton of its space, or an operation, has no names in
      PyTorch.
  """
  check_type('a network', network, Network)
  space = network.space
  names = space.export()
  yield from names.stem_names(network.imagenet)
  for number, part in enumerate(network.plan):
    prefix = f'cells.{number}'
    if not part.kind:
      yield from names.block_names(prefix, part)
      continue
    yield from names.input_names(prefix, part, True)
    cell = network.genotype[part.kind]
    for i, (name, source, _) in enumerate(cell.edges):
      yield from operation_entries(
        space.operation(name).in_network,
        edge_stride(cell, source, part),
        f'{prefix}.{names.edge}.{i}.',
        (part.name, f'edge{i}'),
      )
  if network.auxiliary:
    yield from names.auxiliary_names(network.imagenet)
  yield from names.head_names()
