"""Configs from nested mappings, checked field by field."""

import dataclasses
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
  types = typing.get_type_hints(cls)
  unknown = sorted(set(fields) - set(types))
  if unknown:
    raise UserError(
      f'Unknown config field {prefix}{unknown[0]}; valid are: '
      f'{", ".join(prefix + name for name in types)}.'
    )
  return cls(
    **{
      name: _coerce(types[name], value, prefix + name)
      for name, value in fields.items()
    }
  )


def _coerce(kind: Any, value: Any, name: str) -> Any:
  if dataclasses.is_dataclass(kind):
    if not isinstance(value, Mapping):
      raise UserError(f'{name} must be a group of fields; got {value!r}.')
    return from_dict(kind, value, f'{name}.')
  return naming.of_type(kind, value, name)
