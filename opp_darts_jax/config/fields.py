"""Configs, checked field by field; from nested mappings, too."""

import dataclasses
import functools
import json
import typing
from collections.abc import Mapping
from typing import Any

from opp_darts_jax import naming
from opp_darts_jax.errors import UserError


def as_json(config: Any) -> dict[str, Any]:
  """The nested fields of a dataclass, as JSON gives them back."""
  return json.loads(json.dumps(dataclasses.asdict(config)))


def leaves(tree: Any, name: str = '') -> dict[str, Any]:
  """Name of each leaf of nested fields -> its value; a list is one."""
  if not isinstance(tree, Mapping):
    return {name: tree}
  return {
    at: leaf
    for key, value in tree.items()
    for at, leaf in leaves(value, f'{name}.{key}' if name else key).items()
  }


def from_dict(cls: Any, fields: Mapping[str, Any], prefix: str = '') -> Any:
  """The dataclass of nested mappings; `UserError` if a field is wrong."""
  kinds = _kinds(cls)
  unknown = sorted(set(fields) - set(kinds))
  if unknown:
    raise UserError(
      f'Unknown config field {prefix}{unknown[0]}; valid are: '
      f'{", ".join(prefix + name for name in kinds)}.'
    )
  return cls(
    **{
      name: _group(kinds[name], value, prefix + name)
      for name, value in fields.items()
    }
  )


def settle(config: Any, prefix: str = '') -> None:
  """Makes every field of a config what its annotation says, on its making.

  Lists become tuples and NumPy's numbers Python's own, as files have them.

  Raises:
    UserError: naming the field, after the prefix, if it is something else.
  """
  for name, kind in _kinds(config.__class__).items():
    value = getattr(config, name)
    if not _is_group(kind):
      value = naming.of_type(kind, value, prefix + name)
      object.__setattr__(config, name, value)  # As it is frozen.
    elif not isinstance(value, kind):
      raise UserError(
        f'{prefix}{name} must be a {kind.__name__}; got {value!r}, of type '
        f'{type(value).__name__}.'
      )


@functools.cache
def _kinds(cls: Any) -> dict[str, Any]:
  return typing.get_type_hints(cls)


def _is_group(kind: Any) -> bool:
  return dataclasses.is_dataclass(kind)


def _group(kind: Any, value: Any, name: str) -> Any:
  if not _is_group(kind):
    return value
  if not isinstance(value, Mapping):
    raise UserError(f'{name} must be a group of fields; got {value!r}.')
  return from_dict(kind, value, f'{name}.')
