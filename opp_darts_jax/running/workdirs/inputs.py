"""What a run is made of, by content: other inputs are refused, not mixed in.

A config names files and data sets; what they hold may be edited between two
calls. Each run keeps the content beside its config, and compares.
"""

import hashlib
import inspect
import json
import types
from typing import Any

from opp_darts_jax import files
from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.data.stream import Streamed
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods.method import Method
from opp_darts_jax.networks.costs import Costs
from opp_darts_jax.spaces.space import Space


def of_search(
  images: ImageData | Streamed, space: Space, method: Method
) -> dict[str, Any]:
  """What a search is made of, beside its config, as JSON has it."""
  return files.plain(
    {
      'data': images.identity(),
      'space': {
        'operations': space.names,
        'nodes': space.graph.nodes,
        'candidates': dict(space.candidates),
      },
      'method': _settings(method),
      **_cost(method),
    }
  )


def of_training(
  images: ImageData | Streamed, genotype: Genotype
) -> dict[str, Any]:
  """What a training is made of, beside its config, as JSON has it."""
  return files.plain(
    {'data': images.identity(), 'genotype': genotype.to_dict()}
  )


def _settings(method: Method) -> dict[str, Any]:
  """What tells a method from another of its name.

  Functions have no content to compare, but those that a function made have its
  arguments: `pc_darts(partial=2)`.
  """
  found: dict[str, Any] = {}
  for name, value in method._asdict().items():
    if name in ('name', 'summary'):  # The config has the one; words may change.
      continue
    if isinstance(value, types.FunctionType):
      made_of = _arguments(value).items()
      found[name] = {k: v for k, v in made_of if _is_plain(v)}
    elif _is_plain(value):
      found[name] = value
  return found


def _cost(method: Method) -> dict[str, Any]:
  """What networks cost, for a method that is held to it; else nothing.

  Prices are of the numbers, which a table of latency has from its file.
  """
  for value in method:
    if isinstance(value, types.FunctionType):
      for costs in _arguments(value).values():
        if isinstance(costs, Costs):
          text = json.dumps(files.plain(costs))
          digest = hashlib.sha256(text.encode()).hexdigest()
          return {'cost': {costs.quantity: digest}}
  return {}


def _arguments(function: types.FunctionType) -> dict[str, Any]:
  """Of what made a function, by name."""
  return dict(inspect.getclosurevars(function).nonlocals)


def _is_plain(value: Any) -> bool:
  return isinstance(value, (bool, int, float, str))
