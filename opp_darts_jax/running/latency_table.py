"""A table of seconds that operations take: read, and as costs of networks."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from opp_darts_jax.errors import UserError
from opp_darts_jax.networks import costs as costs_lib
from opp_darts_jax.networks.costs import Costs, Site, Sites
from opp_darts_jax.operations.operation import Operation
from opp_darts_jax.spaces.space import Space


def costs_of(table: Mapping[str, Any], space: Space, sites: Sites) -> Costs:
  """Costs in seconds, by a table.

  Raises:
    UserError: if an operation or a size is not in it.
  """
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
    table = json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
    fields = ('space', 'layers', 'channels', 'image_shape', 'rest')
    rows = ('operation', 'channels', 'stride', 'height', 'width', 'seconds')
    missing = [name for name in fields if name not in table]
    missing += [n for row in table['operations'] for n in rows if n not in row]
    if table.get('unit') != 'seconds' or missing:
      raise ValueError(f'it lacks {", ".join(missing) or "the unit seconds"}')
  except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
    raise UserError(
      f'Expected a table of `opp-darts latency` in cost.table, {path!r}; got: '
      f'{error}.'
    ) from error
  own = (layers, channels, [*image_shape], imagenet)
  found = *(table[name] for name in fields[1:4]), table.get('imagenet', False)
  if found != own:
    raise UserError(
      f'Expected the table of latency {path!r} to be of the network that is to '
      f'be trained, {_network(*own)}; it is of {_network(*found)}: make one of '
      'it, or set cost.layers, cost.channels, cost.image_size and '
      'cost.imagenet.'
    )
  return {'scale': 1.0, **table}  # Those of earlier releases have none.


def _network(layers: int, channels: int, shape: list[int], large: bool) -> str:
  return (
    f'{layers} cells, {channels} channels, images of {shape} and '
    f'imagenet={large}'
  )


def said(site: Site) -> str:
  """A place in a network, in words."""
  height, width = site.size
  return f'{site.channels} channels, stride {site.stride}, {height} x {width}'
