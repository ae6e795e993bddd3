"""Makes tables of seconds that operations take on a device, for a cost term.

A sum over operations is not the time of a network: the table's `scale` and
`rest` make it that of two which are timed as a whole, the cheapest and the
dearest, and others lie between them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.networks import costs as costs_lib
from opp_darts_jax.networks import latency_table
from opp_darts_jax.networks.cell import NO_DRAWS, Draws, EdgeOperation
from opp_darts_jax.networks.costs import Costs, Site
from opp_darts_jax.networks.network import Network, variable_shapes
from opp_darts_jax.operations.operation import Operation
from opp_darts_jax.running.accelerators.timing import Timing
from opp_darts_jax.spaces.space import Space


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
    where = latency_table.said(site)
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
      say(f'{operation.name:<16}{where:<34}{seconds * 1e6:>12.1f} us')
  table = {
    'source': timing.source,
    'device': timing.device,
    'unit': 'seconds',
    'batch': batch,
    'space': space.name,
    'nodes': space.graph.nodes,
    'layers': layers,
    'channels': channels,
    'image_shape': list(image_shape),
    'imagenet': imagenet,
    'scale': 1.0,
    'rest': 0.0,
    'operations': rows,
  }
  alone = latency_table.costs_of(table, space, sites)
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
  variables = variable_shapes(network, image_shape)

  def run(variables: Any, images: jax.Array) -> Any:
    noise = {'noise': jax.random.key(1)}
    return network.apply(variables, images, train=False, rngs=noise)[0]

  return run, (variables, images)
