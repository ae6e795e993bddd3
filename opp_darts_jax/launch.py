"""What the launchers share: config files, and errors as sentences."""

import dataclasses
import importlib.util
import os
import pathlib
import sys
import types
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
from absl import logging

from opp_darts_jax.errors import UserError

USER_ERROR = 2
INTERRUPTED = 130


def config_dict(config: Any) -> ml_collections.ConfigDict:
  """A config as the fields that flags of a launcher can change."""
  return ml_collections.ConfigDict(dataclasses.asdict(config))


def sibling(file: str, name: str) -> types.ModuleType:
  """The config file `name`.py in the folder of another."""
  path = pathlib.Path(file).with_name(f'{name}.py')
  spec = importlib.util.spec_from_file_location(name, path)
  assert spec is not None
  assert spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def start(main: Callable[[], None]) -> None:
  """Calls `main`; wrong input or an interruption ends it without traceback.

  Compiled programs are kept in the user's cache directory, so that the next
  run of the same shapes starts at once; JAX_COMPILATION_CACHE_DIR names
  another.
  """
  logging.set_verbosity(logging.WARNING)  # Libraries tell a lot of their own.
  if not os.environ.get('JAX_COMPILATION_CACHE_DIR'):
    cache = pathlib.Path.home() / '.cache' / 'opp_darts_jax'
    jax.config.update('jax_compilation_cache_dir', str(cache))
  try:
    main()
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    sys.exit(USER_ERROR)
  except KeyboardInterrupt:
    print(
      'interrupted: the same command goes on after the last whole epoch.',
      file=sys.stderr,
    )
    sys.exit(INTERRUPTED)
