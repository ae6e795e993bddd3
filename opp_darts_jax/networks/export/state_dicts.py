"""State dicts as people keep them, as {name: array}.

PyTorch itself is not needed: its tensors are asked for what they are.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from opp_darts_jax.errors import UserError, first_line

# What wrappers of a model put before its names: DataParallel, torch.compile.
_WRAPPERS = ('module.', '_orig_mod.')


def plain_state_dict(found: Any) -> dict[str, Any]:
  """The tensors of a state dict, or of a checkpoint that holds one, by name.

  Args:
    found: {name: tensor}, or a dict of which one item is that; the prefixes
      that wrappers give all names are taken away.

  Raises:
    UserError: on anything else.
  """
  if not isinstance(found, Mapping):
    raise UserError(
      'Expected a state dict {name: array}, as model.state_dict() gives it, '
      f'got {type(found).__name__}.'
    )
  inner = {name: v for name, v in found.items() if _is_state_dict(v)}
  if inner and not _is_state_dict(found):
    if len(inner) > 1:
      raise UserError(
        'Expected one state dict, got several in one checkpoint: '
        f'{", ".join(map(str, inner))}; pass one of them.'
      )
    (found,) = inner.values()
  names = {str(name): name for name in found}
  for wrapper in _WRAPPERS * 2:  # Either may be around the other.
    if names and all(name.startswith(wrapper) for name in names):
      names = {n.removeprefix(wrapper): name for n, name in names.items()}
  return {name: found[own] for name, own in names.items()}


def as_array(name: str, tensor: Any) -> np.ndarray:
  """A tensor of any type of numbers, on any device, as an array.

  Args:
    name: of it, for messages.
    tensor: PyTorch's, NumPy's or JAX's.

  Raises:
    UserError: if it is no such tensor, or cannot be read.
  """
  try:
    if hasattr(tensor, 'detach'):
      # NumPy has no bfloat16, and all others are exact in float64.
      tensor = tensor.detach().cpu()
      tensor = tensor if tensor.is_complex() else tensor.double().numpy()
    array = np.asarray(tensor)
    if not np.can_cast(array.dtype, np.float64, 'same_kind'):
      raise TypeError(f'its type is {array.dtype}')
  except (RuntimeError, TypeError, ValueError) as error:
    raise UserError(
      f'Expected an array of numbers as {name}, got {type(tensor).__name__}: '
      f'{first_line(error)}.'
    ) from error
  return array


def _is_state_dict(found: Any) -> bool:
  return (
    isinstance(found, Mapping)
    and bool(found)
    and all(hasattr(value, 'shape') for value in found.values())
  )
