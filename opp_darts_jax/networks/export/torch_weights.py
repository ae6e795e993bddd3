"""State dicts of PyTorch, in and out.

Names are those of the public code of DARTS, and of the networks that come with
NAS-Bench-201. `num_batches_tracked`, which nothing reads, is ignored.
"""

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.errors import UserError
from opp_darts_jax.networks.export.network_entries import network_entries
from opp_darts_jax.networks.export.supernet_entries import supernet_entries
from opp_darts_jax.networks.network import Network
from opp_darts_jax.operations.entries import Entry
from opp_darts_jax.supernet.supernet import Supernet

StateDict = Mapping[str, np.ndarray]

# As many names of each kind are listed where a state dict does not fit.
_LISTED = 8


def supernet_from_torch(
  state_dict: StateDict, model: Supernet, order: Sequence[str] | None = None
) -> dict[str, Any]:
  """Variables of a supernet from a state dict of the search's `Network`.

  Args:
    state_dict: name -> array. Running averages may be left out; initial ones
      take their place.
    model: the supernet.
    order: the operations in it, as `_ops.E._ops.K` counts them on every edge
      that may have them; by default all of the space, in its order. Weights of
      operations that it leaves out are zero, their running averages initial.

  Returns:
    {'params': ..., 'batch_stats': ...}.

  Raises:
    UserError: if names or shapes do not fit, which it lists, or the supernet
      has no names in PyTorch.
  """
  mask = model.space.mask()
  weights = {
    kind: np.zeros(table.shape, np.float32) for kind, table in mask.items()
  }

  def init(images):
    key = jax.random.key(0)
    return model.init(key, images, weights, mask, train=False, key=key)

  entries = list(supernet_entries(model, order))
  return _load(entries, _shapes(init, state_dict), state_dict, 'supernet')


def supernet_to_torch(
  variables: Any, model: Supernet, order: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
  """The inverse of `supernet_from_torch`.

  A pool's running averages, kept once a source here, go to each of its edges.
  Variables without 'batch_stats', gradients for instance, give none.

  Raises:
    UserError: if the supernet has no names in PyTorch.
  """
  return dump(supernet_entries(model, order), variables)


def network_from_torch(
  state_dict: StateDict, network: Network
) -> dict[str, Any]:
  """Variables of a network from a state dict of PyTorch.

  That is one of `NetworkCIFAR` or `NetworkImageNet` of DARTS, or of
  `TinyNetwork` of NAS-Bench-201.

  Args:
    state_dict: name -> array. Running averages may be left out.
    network: of the same genotype, with an auxiliary head if and only if the
      state dict has one.

  Returns:
    {'params': ..., 'batch_stats': ...}.

  Raises:
    UserError: if names or shapes do not fit, which it lists, or the network
      has no names in PyTorch.
  """

  def init(images):
    keys = {name: jax.random.key(0) for name in ('params', 'noise')}
    return network.init(keys, images, train=False)

  entries = list(network_entries(network))
  return _load(entries, _shapes(init, state_dict), state_dict, 'network')


def network_to_torch(variables: Any, network: Network) -> dict[str, np.ndarray]:
  """The inverse of `network_from_torch`.

  Raises:
    UserError: if the network has no names in PyTorch.
  """
  return dump(network_entries(network), variables)


def dump(entries: Iterable[Entry], variables: Any) -> dict[str, np.ndarray]:
  """The tensors of our variables, for the collections that they have."""
  variables = jax.device_get(variables)
  return {
    e.name: e.layout.to_torch(_leaf(variables, e.path)[e.index])
    for e in entries
    if e.path[0] in variables
  }


def load(
  entries: Iterable[Entry], shapes: Any, state_dict: StateDict
) -> tuple[dict[str, Any], list[str]]:
  """Variables from tensors.

  Args:
    entries: the tensors.
    shapes: of the variables.
    state_dict: name -> array.

  Returns:
    The variables, zero where no tensor belongs and initial where a running
    average is missing; and what does not fit, as phrases.
  """

  def initial(path, leaf):
    running_variance = path[0].key == 'batch_stats' and path[-1].key == 'var'
    fill = np.ones if running_variance else np.zeros
    return fill(leaf.shape, leaf.dtype)

  variables = jax.tree_util.tree_map_with_path(initial, shapes)
  names, missing, wrong = set(), [], []
  for entry in entries:
    names.add(entry.name)
    if entry.name not in state_dict:
      if entry.path[0] == 'params':
        missing.append(entry.name)
      continue
    part = _leaf(variables, entry.path)[entry.index]
    tensor = np.asarray(state_dict[entry.name])
    expected = entry.layout.to_torch(part).shape
    if tensor.shape == expected:
      part[...] = entry.layout.from_torch(tensor)
    else:
      wrong.append(f'{entry.name} {tensor.shape} instead of {expected}')
  unexpected = [
    name
    for name in state_dict
    if name not in names and not name.endswith('.num_batches_tracked')
  ]
  faults = {'missing': missing, 'unexpected': unexpected, 'wrong shape': wrong}
  phrases = [_phrase(kind, found) for kind, found in faults.items() if found]
  return jax.tree.map(jnp.asarray, variables), phrases


def _phrase(kind: str, found: Sequence[str]) -> str:
  rest = len(found) - _LISTED
  more = f' and {rest} more' if rest > 0 else ''
  return f'{kind}: {", ".join(found[:_LISTED])}{more}'


def _load(
  entries: Iterable[Entry], shapes: Any, state_dict: StateDict, what: str
) -> dict[str, Any]:
  variables, faults = load(entries, shapes, state_dict)
  if faults:
    raise UserError(
      f'The state dict does not fit the {what}; {"; ".join(faults)}.'
    )
  return variables


def _shapes(init: Any, state_dict: StateDict) -> Any:
  """Shapes of the variables for images of as many channels as the stem has."""
  stems = (state_dict.get(f'{stem}.0.weight') for stem in ('stem', 'stem0'))
  kernel = next((np.shape(stem) for stem in stems if stem is not None), ())
  channels = kernel[1] if len(kernel) == 4 else 3
  # Large enough for every auxiliary head.
  images = jax.ShapeDtypeStruct((1, 224, 224, channels), jnp.float32)
  return jax.eval_shape(init, images)


def _leaf(tree: Any, path: Sequence[str]) -> Any:
  return functools.reduce(operator.getitem, path, tree)
