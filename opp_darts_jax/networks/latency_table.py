"""A table of seconds that operations take: read, and as costs of networks."""

import json
import pathlib
import types
from collections.abc import Mapping
from typing import Any

from opp_darts_jax import naming
from opp_darts_jax.errors import UserError, first_line
from opp_darts_jax.networks import costs as costs_lib
from opp_darts_jax.networks.costs import Costs, Site, Sites
from opp_darts_jax.operations.operation import Operation
from opp_darts_jax.spaces.space import Space

# What is read of a table, and of each of its rows.
_FIELDS = types.MappingProxyType(
  {
    'space': str,
    'layers': int,
    'channels': int,
    'image_shape': tuple[int, ...],
    'imagenet': bool,
    'rest': float,
    'scale': float,
  }
)
_ROW = types.MappingProxyType(
  {
    'operation': str,
    'channels': int,
    'stride': int,
    'height': int,
    'width': int,
    'seconds': float,
  }
)


def costs_of(table: Mapping[str, Any], space: Space, sites: Sites) -> Costs:
  """Costs in seconds, by a table.

  Raises:
    UserError: if an operation or a size is not in it, or it is of cells of
      another number of nodes.
  """
  own = space.graph.nodes
  # Those of earlier releases do not say it.
  if table.get('nodes', own) != own:
    raise UserError(
      f'Expected a table of latency of cells of {own} intermediate nodes, as '
      f'the search has; it is of {table["nodes"]!r}: make one with '
      f'`opp-darts latency --nodes={own}`.'
    )
  known = {
    (
      row['operation'],
      Site(row['channels'], row['stride'], (row['height'], row['width'])),
    ): float(row['seconds'])
    for row in table['operations']
  }

  def one(operation: Operation, site: Site) -> float:
    if (operation.name, site) not in known:
      raise UserError(
        f'Expected {operation.name} of {said(site)} in the table of latency, '
        f'which is of space {table["space"]!r}, {table["layers"]} cells, '
        f'{table["channels"]} channels and images of '
        f'{table["image_shape"]}: make one of the network that '
        'cost.layers, cost.channels and cost.image_size say.'
      )
    return table['scale'] * known[operation.name, site]

  return costs_lib.table_of(space, sites, 'latency', one, table['rest'])


def read(
  path: str,
  layers: int,
  channels: int,
  image_shape: tuple[int, ...],
  imagenet: bool = False,
) -> dict[str, Any]:
  """A table that was written of a network.

  Args:
    path: of its file.
    layers: of the network, of which `rest` is.
    channels: of its first cell.
    image_shape: (H, W, C).
    imagenet: whether it is the one for large images.

  Raises:
    UserError: if there is none, it is no such table, or of another network.
  """
  try:
    file = pathlib.Path(path).expanduser()
    table = _checked(json.loads(file.read_text(encoding='utf-8')))
  except (OSError, ValueError, RuntimeError) as error:
    raise UserError(
      f'Expected a table of `opp-darts latency` in cost.table, {path!r}; got: '
      f'{first_line(error)}.'
    ) from error
  own = (layers, channels, [*image_shape], imagenet)
  of = ('layers', 'channels', 'image_shape', 'imagenet')
  found = tuple(table[name] for name in of)
  if found != own:
    raise UserError(
      f'Expected the table of latency {path!r} to be of the network that is to '
      f'be trained, {_network(*own)}; it is of {_network(*found)}: make one of '
      'it, or set cost.layers, cost.channels, cost.image_size and '
      'cost.imagenet.'
    )
  return table


def _checked(table: Any) -> dict[str, Any]:
  """The table, if all that is read of it is of its type; else `ValueError`."""
  # Those of earlier releases have no scale.
  _check_object('the table', table)
  table = {'scale': 1.0, 'imagenet': False, **table}
  if table.get('unit') != 'seconds':
    raise ValueError('it lacks the unit seconds')
  _check_fields(table, _FIELDS)
  rows = table.get('operations')
  if not isinstance(rows, list):
    raise ValueError('operations must be a list')
  for row in rows:
    _check_object('a row of operations', row)
    _check_fields(row, _ROW)
  return table


def _check_fields(found: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
  for name, kind in fields.items():
    naming.of_type(kind, found.get(name), name)


def _check_object(what: str, found: Any) -> None:
  if not isinstance(found, Mapping):
    raise ValueError(f'{what} must be an object; got {found!r}')


def _network(layers: int, channels: int, shape: list[int], large: bool) -> str:
  return (
    f'{layers} cells, {channels} channels, images of {shape} and '
    f'imagenet={large}'
  )


def said(site: Site) -> str:
  """A place in a network, in words."""
  height, width = site.size
  return f'{site.channels} channels, stride {site.stride}, {height} x {width}'
