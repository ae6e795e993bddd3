"""Tables of seconds that operations take on a device, for a cost term.

Measured on the device of this process, or modelled for one that is not here, by
what is compiled for it (absent.py). A sum over operations is not the time of a
network: the table's `scale` and `rest` make it that of two which are timed as a
whole, the cheapest and the dearest, and others lie between them.
"""

import json
import pathlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.config import RunConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.networks import costs as costs_lib
from opp_darts_jax.networks.cell import NO_DRAWS, Draws, EdgeOperation
from opp_darts_jax.networks.costs import Costs, Site, Sites
from opp_darts_jax.networks.network import Network
from opp_darts_jax.operations.operation import Operation
from opp_darts_jax.running import absent, console, modelled
from opp_darts_jax.running.absent import Absent
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.programs import compiled
from opp_darts_jax.spaces.space import Space

SOURCES = ('measured', 'modelled')
_ROUNDS = 9
_ROUND_S = 5e-3  # A round calls a program for about as long.


class Timing(NamedTuple):
  """How programs are timed.

  Attributes:
    source: of `SOURCES`.
    device: by its name.
    seconds: (function, its arguments' shapes) -> of a call.
  """

  source: str
  device: str
  seconds: Callable[[Callable[..., Any], tuple[Any, ...]], float]


def measured() -> Timing:
  """On the first device of this process: the median of several rounds."""
  devices = Devices(jax.devices()[:1])

  def seconds(function: Callable[..., Any], shapes: tuple[Any, ...]) -> float:
    program = compiled(function, RunConfig(), devices)
    return _median(program, devices.copy(_drawn(shapes)))

  # A call takes a while whatever it computes, which is none of an operation.
  idle = jax.ShapeDtypeStruct((1,), jnp.float32)
  call = seconds(lambda x: x + 1, (idle,))

  def beyond(function: Callable[..., Any], shapes: tuple[Any, ...]) -> float:
    return max(0.0, seconds(function, shapes) - call)

  return Timing(SOURCES[0], console.device(), beyond)


def modelled_for(target: Absent) -> Timing:
  """On a device that is not here, by what is compiled for it."""
  model = modelled.model_of(target.accelerator)

  def seconds(function: Callable[..., Any], shapes: tuple[Any, ...]) -> float:
    program = compiled(function, RunConfig(), target.devices)
    given = absent.arguments_on(target.devices, shapes)
    return modelled.seconds(absent.build(program, given).counts, model)

  return Timing(SOURCES[1], target.accelerator.kind, seconds)


def make(
  space: Space,
  layers: int,
  channels: int,
  image_shape: tuple[int, int, int],
  classes: int,
  timing: Timing,
  *,
  imagenet: bool = False,
  batch: int = 1,
  say: Callable[[str], Any] = lambda line: None,
) -> dict[str, Any]:
  """The table of a space's operations where a network has them.

  Args:
    space: of the operations.
    layers: of the network.
    channels: of its first cell.
    image_shape: (H, W, C).
    classes: of the images.
    timing: how.
    imagenet: whether the network is the one for large images.
    batch: images of a call.
    say: is told of each operation.
  """
  sites = costs_lib.sites_of(
    space, layers, channels, image_shape, classes, imagenet
  )
  rows = []
  for site in sites.distinct():
    for operation in space.operations:
      own = operation.in_network
      seconds = 0.0
      if own.carries and not own.identity(site.stride):
        seconds = timing.seconds(*_program(own, site, batch))
      rows.append(
        {
          'operation': operation.name,
          'channels': site.channels,
          'stride': site.stride,
          'height': site.size[0],
          'width': site.size[1],
          'seconds': seconds,
        }
      )
      say(f'{operation.name:<16}{_said(site):<34}{seconds * 1e6:>12.1f} us')
  table = {
    'source': timing.source,
    'device': timing.device,
    'unit': 'seconds',
    'batch': batch,
    'space': space.name,
    'layers': layers,
    'channels': channels,
    'image_shape': list(image_shape),
    'imagenet': imagenet,
    'scale': 1.0,
    'rest': 0.0,
    'operations': rows,
  }
  alone = costs_of(table, space, sites)
  sums, wholes = [], []
  for genotype in ends(space, alone):
    network = Network(
      genotype, layers, channels, classes, imagenet=imagenet, space=space
    )
    whole = timing.seconds(*_network_program(network, image_shape, batch))
    sums.append(alone.of(genotype))
    wholes.append(whole)
    say(f'{"a whole network":<50}{whole * 1e6:>12.1f} us')
  table['scale'], table['rest'] = anchored(sums, wholes)
  return table


def ends(space: Space, costs: Costs) -> tuple[Genotype, Genotype]:
  """The networks of a space that cost least and most, by a table."""
  carries_K = np.array([o.carries for o in space.operations])

  def derived(value: Callable[[np.ndarray], np.ndarray]) -> Genotype:
    return space.derive(
      space,
      {
        kind: value(costs.table(kind)) * carries_K * mask
        for kind, mask in space.mask().items()
      },
    )

  return derived(lambda c: 1 / (1 + c)), derived(lambda c: 1 + c)


def anchored(
  sums: Sequence[float], wholes: Sequence[float]
) -> tuple[float, float]:
  """The scale and the rest by which sums are the seconds of two networks.

  Where the dearer of the two takes no longer, the scale is 1, and the rest is
  that of the dearer.
  """
  scale = 1.0
  if sums[1] > sums[0] and wholes[1] > wholes[0]:
    scale = (wholes[1] - wholes[0]) / (sums[1] - sums[0])
  return scale, wholes[1] - scale * sums[1]


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
        f'Expected {operation.name} of {_said(site)} in the table of latency, '
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


def _program(
  operation: Operation, site: Site, batch: int
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
  """An operation of a trained network, and the shapes that it takes."""
  module = EdgeOperation(operation, site.channels, site.stride)
  x = jax.ShapeDtypeStruct((batch, *site.size, site.channels), jnp.float32)
  draws = Draws(None, jax.random.key(0)) if operation.random else NO_DRAWS
  variables = jax.eval_shape(
    lambda key, x: module.init(key, x, train=False, draws=draws),
    jax.random.key(0),
    x,
  )

  def run(variables: Any, x: jax.Array) -> Any:
    return module.apply(variables, x, train=False, draws=draws)

  return run, (variables, x)


def _network_program(
  network: Network, image_shape: tuple[int, ...], batch: int
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
  images = jax.ShapeDtypeStruct((batch, *image_shape), jnp.float32)
  keys = {'params': jax.random.key(0), 'noise': jax.random.key(1)}
  variables = jax.eval_shape(
    lambda keys, x: network.init(keys, x, train=False), keys, images
  )

  def run(variables: Any, images: jax.Array) -> Any:
    noise = {'noise': jax.random.key(1)}
    return network.apply(variables, images, train=False, rngs=noise)[0]

  return run, (variables, images)


def _drawn(shapes: Any) -> Any:
  """Positive numbers, as variances have to be."""
  numbers = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: np.asarray(
      np.abs(numbers.standard_normal(leaf.shape)) / 8 + 0.5, leaf.dtype
    ),
    shapes,
  )


def _median(program: Callable[..., Any], given: Sequence[Any]) -> float:
  """Seconds of a call, the median of rounds of many."""

  def calls(count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
      result = program(*given)
    jax.block_until_ready(result)
    return (time.perf_counter() - start) / count

  calls(1)  # It compiles.
  count = max(1, round(_ROUND_S / max(calls(2), 1e-7)))
  return statistics.median(calls(count) for _ in range(_ROUNDS))


def _said(site: Site) -> str:
  height, width = site.size
  return f'{site.channels} channels, stride {site.stride}, {height} x {width}'
