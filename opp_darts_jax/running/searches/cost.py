"""The cost that a config holds a search to."""

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.methods.method import Method
from opp_darts_jax.methods.with_cost import with_cost
from opp_darts_jax.networks import costs as costs_lib
from opp_darts_jax.networks import latency_table
from opp_darts_jax.networks.costs import Costs
from opp_darts_jax.spaces.space import Space


def held(
  config: SearchConfig, space: Space, method: Method, images: ImageData
) -> Method:
  """The method, held to the config's cost if it has one.

  Raises:
    UserError: if method, space or table do not fit it.
  """
  if not config.cost.target:
    return method
  costs = costs_of(config, space, images)
  found = with_cost(method, costs, config.cost.target, config.cost.strength)
  found.check(config, space)
  return found


def costs_of(config: SearchConfig, space: Space, images: ImageData) -> Costs:
  """Of the networks that a config means, for these images."""
  own = config.cost
  height, width, colours = images.image_shape
  if own.image_size:
    height = width = own.image_size
  shape = height, width, colours
  sites = costs_lib.sites_of(
    space, own.layers, own.channels, shape, images.num_classes, own.imagenet
  )
  if own.quantity == 'latency':
    table = latency_table.read(
      own.table, own.layers, own.channels, shape, own.imagenet
    )
    return latency_table.costs_of(table, space, sites)
  return costs_lib.counted(space, sites, own.quantity)
