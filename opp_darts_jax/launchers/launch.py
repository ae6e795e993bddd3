"""What the launchers share: config files, and errors as sentences."""

import dataclasses
import functools
import importlib.util
import logging as std_logging
import os
import pathlib
import sys
import types
from collections.abc import Callable
from typing import Any, NoReturn

import jax
import ml_collections
from absl import app, flags, logging

from opp_darts_jax.errors import (
  DeviceMemoryError,
  NotFinished,
  UserError,
  WriteError,
  first_line,
)
from opp_darts_jax.operations.cpu import native

_INTERRUPTED = 130


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


def keep_programs() -> None:
  """Keeps compiled programs: the next run of the same shapes starts at once.

  In `$JAX_COMPILATION_CACHE_DIR`, or beside the kernels.
  """
  if not os.environ.get('JAX_COMPILATION_CACHE_DIR'):
    cache = str(native.cache_dir())
    jax.config.update('jax_compilation_cache_dir', cache)


def run(main: Callable[[], None], config: str = '') -> None:
  """Runs a launcher: wrong input or an interruption gives no traceback.

  Args:
    main: the launcher's own part.
    config: the config file where no `--config` is given; ml_collections would
      read a default before anybody could catch what is wrong with it.
  """
  keep_programs()

  def guarded(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)  # Libraries tell a lot of their own.
    _hide_failed_writes()
    try:
      main()
    except (UserError, NotFinished) as error:
      _stop(str(error), error.exit_code)
    except OSError as error:
      _stop(_about_writing(error), WriteError.exit_code)
    except jax.errors.JaxRuntimeError as error:
      if 'RESOURCE_EXHAUSTED' not in str(error):
        raise
      _stop(_about_memory(error), DeviceMemoryError.exit_code)
    except KeyboardInterrupt:
      _stop('interrupted before the run began.', _INTERRUPTED)

  app.run(guarded, flags_parser=functools.partial(_parse_flags, config))


def _parse_flags(config: str, argv: list[str]) -> list[str]:
  if config and not any(a.lstrip('-').startswith('config=') for a in argv):
    argv = [argv[0], f'--config={config}', *argv[1:]]
  try:
    rest = flags.FLAGS(argv)
    if 'config' in flags.FLAGS:
      flags.FLAGS.config.to_dict()  # An unreadable file says so here.
    if len(rest) > 1:
      raise flags.Error(f'Expected only flags, got {rest[1]!r}.')
    return rest
  except AttributeError as error:  # Thus ml_collections names a wrong field.
    _stop(f'The config has no field {error}; opp_darts_jax/config.py has all.')
  except (flags.Error, OSError) as error:
    # ml_collections puts a traceback before what the config file said.
    _stop(str(error).strip().splitlines()[-1].split('UserError: ')[-1])


def _hide_failed_writes() -> None:
  """Hides tracebacks of a checkpoint that fails: the run says so itself.

  They come from threads of orbax and its storage.
  """
  std_logging.getLogger('asyncio').setLevel(std_logging.CRITICAL)
  logging.get_absl_handler().addFilter(
    lambda record: 'orbax' not in record.pathname
  )


def _about_writing(error: OSError) -> str:
  where = f' {error.filename}' if error.filename else ''
  return (
    f'Could not read or write{where}: {error.strerror or error}; what was '
    'saved is whole: mend it and give the same command again.'
  )


def _about_memory(error: Exception) -> str:
  return (
    'The device has too little memory for a step; take '
    '--config.accumulate=2 (a step in parts) or more, --config.remat=True '
    '(inner values computed again), or a smaller --config.batch_size; got: '
    f'{first_line(error)}.'
  )


def _stop(sentence: str, code: int = UserError.exit_code) -> NoReturn:
  kind = 'stopped' if code == NotFinished.exit_code else 'error'
  print(f'{kind}: {" ".join(sentence.split())}', file=sys.stderr, flush=True)
  sys.exit(code)
