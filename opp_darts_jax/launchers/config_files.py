"""Configs: those of the package by name, those of users by file."""

import contextlib
import dataclasses
import importlib
import inspect
import os
import pkgutil
import types
from typing import Any

import ml_collections

from opp_darts_jax import naming
from opp_darts_jax.config import SearchConfig, TrainConfig
from opp_darts_jax.errors import UserError, described, telling
from opp_darts_jax.launchers import configs


def config_dict(config: Any) -> ml_collections.ConfigDict:
  """A config as the fields that flags of a launcher can change."""
  return ml_collections.ConfigDict(dataclasses.asdict(config))


def plain_twin(
  config: ml_collections.ConfigDict, name: str
) -> ml_collections.ConfigDict:
  """The config, changed to plain DARTS: no stages, and a folder of its own.

  Args:
    config: of a search, or of the training of what one finds.
    name: of the twin.
  """
  if 'schedule' in config:
    config.schedule.name = 'plain'
  else:
    config.genotype = f'runs/{name}/search/genotype.json'
  return config


def names() -> list[str]:
  """The names of the configs that come with the package."""
  return sorted(
    module.name for module in pkgutil.iter_modules(configs.__path__)
  )


def load(config: str) -> ml_collections.ConfigDict:
  """The config that a flag names.

  Args:
    config: NAME of a config of the package, or the path FILE.py of another;
      NAME:VARIANT and FILE.py:VARIANT are what `get_config(VARIANT)` returns.

  Returns:
    What the config's `get_config` returns, a `ConfigDict` or the config itself.

  Raises:
    UserError: if there is no such config or no such variant of it, if reading
      it fails, or if it is neither.
  """
  name, colon, variant = config.partition(':')
  module = _module(name)
  if not hasattr(module, 'get_config'):
    raise UserError(
      f'Expected a function get_config in {name}; got a file without.'
    )
  given = [variant] if colon else []
  try:
    inspect.signature(module.get_config).bind(*given)
  except TypeError as error:
    takes = 'a variant' if given else 'no variant'
    raise UserError(
      f'Expected get_config of {name} to take {takes}, as {config!r} names; '
      f'got: {error}.'
    ) from error
  with _reading(name):
    found = module.get_config(*given)
  if isinstance(found, SearchConfig | TrainConfig):
    return config_dict(found)
  if not isinstance(found, ml_collections.ConfigDict):
    raise UserError(
      f'Expected get_config of {name} to return a SearchConfig, a TrainConfig '
      f'or an ml_collections.ConfigDict; got {described(found)}.'
    )
  return found


def _module(name: str) -> types.ModuleType:
  if name in names():
    return importlib.import_module(f'{configs.__name__}.{name}')
  path = _path_of(name)
  if name.endswith('.py') and not os.path.isfile(path):
    raise UserError(f'Expected the config {name} to be a file; got none.')
  if not name.endswith('.py'):
    raise UserError(
      f'Unknown config {name!r}; valid are: {", ".join(names())}, or the path '
      'of a .py file.'
    )
  with _reading(name):
    return naming.file_module('config_file', path)


def _path_of(name: str) -> str:
  return os.path.abspath(os.path.expanduser(name))


def _reading(name: str) -> contextlib.AbstractContextManager[None]:
  return telling(f'Could not read the config {name}', _path_of(name))
