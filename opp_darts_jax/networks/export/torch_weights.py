"""State dicts of PyTorch, in and out.

Names are those of the public code of DARTS, and of the networks that come with
NAS-Bench-201. `num_batches_tracked`, which nothing reads, is ignored.
"""

import collections
import functools
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.errors import UserError, check_type
from opp_darts_jax.memoized import memoized
from opp_darts_jax.networks.export.network_entries import network_entries
from opp_darts_jax.networks.export.state_dicts import (
  as_array,
  plain_state_dict,
)
from opp_darts_jax.networks.export.supernet_entries import supernet_entries
from opp_darts_jax.networks.network import Network, variable_shapes
from opp_darts_jax.operations.entries import Entry
from opp_darts_jax.supernet.supernet import Supernet

StateDict = Mapping[str, Any]

# As many names of each kind are listed where a state dict does not fit.
_LISTED = 8


def supernet_from_torch(
  state_dict: StateDict, model: Supernet, order: Sequence[str] | None = None
) -> dict[str, Any]:
  """Variables of a supernet from a state dict of the search's `Network`.

  Args:
    state_dict: name -> tensor, see `state_dicts.plain_state_dict`. The running
      averages may be left out; initial ones take their place, as a search
      begins with them too.
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
  entries = list(supernet_entries(model, order))
  state_dict = plain_state_dict(state_dict)
  images = jax.ShapeDtypeStruct((1, *_image_shape(state_dict)), jnp.float32)
  shapes = jax.eval_shape(_supernet_init(model), images)
  return _load(entries, shapes, state_dict, 'supernet')


@memoized(8)
def _supernet_init(model: Supernet) -> Callable[[jax.Array], Any]:
  """(images) -> variables; traced once, however many state dicts there are."""
  mask = model.space.mask()
  weights = {
    kind: np.zeros(table.shape, np.float32) for kind, table in mask.items()
  }

  def init(images):
    key = jax.random.key(0)
    return model.init(key, images, weights, mask, train=False, key=key)

  return init


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
    state_dict: name -> tensor, see `state_dicts.plain_state_dict`: on any
      device, of any type of numbers, or a checkpoint with one such dict.
    network: of the same genotype, with an auxiliary head if and only if the
      state dict has one.

  Returns:
    {'params': ..., 'batch_stats': ...}.

  Raises:
    UserError: if names or shapes do not fit, which it lists, or the network
      has no names in PyTorch.
  """
  entries = list(network_entries(network))
  state_dict = plain_state_dict(state_dict)
  shapes = variable_shapes(network, _image_shape(state_dict))
  variables = _load(entries, shapes, state_dict, 'network')
  absent = [e.name for e in entries if e.name not in state_dict]
  if absent:
    raise UserError(
      f'The state dict lacks running averages of the norms, {absent[0]} '
      f'({len(absent)} such in all), without which the network gives other '
      'logits; model.state_dict() has them, dict(model.named_parameters()) has '
      'not.'
    )
  return variables


def network_to_torch(variables: Any, network: Network) -> dict[str, np.ndarray]:
  """The inverse of `network_from_torch`.

  Raises:
    UserError: if the network, or any weight of it, has no name in PyTorch.
  """
  check_type('the variables of a network', variables, Mapping)
  entries = list(network_entries(network))
  # What lies where: of the leaves, those that no entry is of are left out.
  named = {(entry.path, entry.index) for entry in entries}
  sizes = collections.Counter(path for path, _ in named)
  for keys, leaf in jax.tree_util.tree_leaves_with_path(variables):
    path = tuple(key.key for key in keys)
    depth = max((len(index) for p, index in named if p == path), default=0)
    if sizes[path] != math.prod(leaf.shape[:depth]):
      raise UserError(
        f'The weight {"/".join(path)} of the network has no name in PyTorch: '
        'the operation, or the skeleton of the space, does not say all that it '
        'has there (torch, export).'
      )
  return dump(entries, variables)


def dump(entries: Iterable[Entry], variables: Any) -> dict[str, np.ndarray]:
  """The tensors of our variables, for the collections that they have."""
  variables = jax.device_get(variables)
  return {
    e.name: e.layout.to_torch(_leaf(variables, e))
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
    part = _leaf(variables, entry)
    tensor = as_array(entry.name, state_dict[entry.name])
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
  return jax.device_put(variables), phrases


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


def _image_shape(state_dict: StateDict) -> tuple[int, int, int]:
  """(H, W, C) of images of as many channels as the stem has."""
  stems = (state_dict.get(f'{stem}.0.weight') for stem in ('stem', 'stem0'))
  kernel = next((np.shape(stem) for stem in stems if stem is not None), ())
  channels = kernel[1] if len(kernel) == 4 else 3
  # Large enough for every auxiliary head.
  return 224, 224, channels


def _leaf(variables: Any, entry: Entry) -> Any:
  """The part of the variables that an entry is of."""
  try:
    leaf = functools.reduce(operator.getitem, entry.path, variables)
    return leaf[entry.index]
  except (KeyError, IndexError) as error:
    raise UserError(
      f'{entry.name} is to be the weight {"/".join(entry.path)}, which is not '
      'there: the operation, or the skeleton of the space, says more than it '
      'has in PyTorch (torch, export).'
    ) from error
