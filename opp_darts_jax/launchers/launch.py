"""What the launchers share: `--config`, and errors as sentences."""

import functools
import logging as std_logging
import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn

import jax
import ml_collections
from absl import app, flags, logging
from ml_collections import config_flags

from opp_darts_jax.errors import (
  DeviceMemoryError,
  NotFinished,
  UserError,
  WriteError,
  first_line,
  of_callback,
)
from opp_darts_jax.launchers import config_files
from opp_darts_jax.launchers.main import take_interruptions
from opp_darts_jax.operations.cpu import native
from opp_darts_jax.running.accelerators import absent
from opp_darts_jax.running.accelerators.catalogue import get_accelerator

# A launcher lists the flags that it has defined here as its own.
flags.disclaim_key_flags()


class _ConfigParser(flags.ArgumentParser[ml_collections.ConfigDict]):
  """Reads what `--config` says."""

  def parse(self, argument: str) -> ml_collections.ConfigDict:
    """The config of a name or a file, ready for the flags of its fields."""
    try:
      return config_files.load(argument).lock()
    except UserError as error:  # Flags would put more than a sentence around.
      raise flags.Error(str(error)) from error


def define_config(default: str) -> flags.FlagHolder[ml_collections.ConfigDict]:
  """Defines `--config`, and a flag for each of its fields.

  Args:
    default: what `run` takes if there is none.

  Returns:
    The flag.
  """
  config = config_flags.DEFINE_config_file(
    'config',
    None,
    'What to do: NAME[:VARIANT] of a config of the package, or the path '
    f'FILE.py[:VARIANT] of another; {default} if not given. '
    '--config.FIELD=VALUE changes a field of it.',
  )
  flags.FLAGS['config'].parser = _ConfigParser()
  return config


class _PathParser(flags.ArgumentParser[str]):
  """Reads a path: shells do not know the `~` in `--workdir=~/runs`."""

  def parse(self, argument: str) -> str:
    """The path, from the home folder where it begins with `~`."""
    return os.path.expanduser(argument)


def define_path(
  name: str, meaning: str, required: bool = False
) -> flags.FlagHolder[str]:
  """Defines a flag that is a path; None if it is not given."""
  parser = _PathParser()
  return flags.DEFINE(  # type: ignore[return-value]
    parser, name, None, meaning, required=required
  )


def paths(values: Iterable[str]) -> list[str]:
  """Those in the values of a flag that takes several, parted by commas."""
  parse = _PathParser().parse
  return [parse(one) for value in values for one in value.split(',') if one]


def prepare_target(target: str) -> None:
  """If `--target` is given, tells why nothing is seen for a while.

  The process itself then runs on the CPU, whatever devices are here.
  """
  if target:
    get_accelerator(target)
    absent.run_on_cpu()
    sys.stderr.write(
      f'compiling the programs of the run for {target}: a few minutes or more\n'
    )
    sys.stderr.flush()


def keep_programs() -> None:
  """Keeps compiled programs: the next run of the same shapes starts at once.

  In `$JAX_COMPILATION_CACHE_DIR`, or beside the kernels. Small ones too, unless
  the environment says otherwise: a search begins with dozens of them.
  """
  least = 'jax_persistent_cache_min_compile_time_secs'
  if not os.environ.get(least.upper()):
    jax.config.update(least, 0.0)
  if not os.environ.get('JAX_COMPILATION_CACHE_DIR'):
    cache = str(native.cache_dir())
    jax.config.update('jax_compilation_cache_dir', cache)


def run(main: Callable[[], None], config: str = '') -> None:
  """Runs a launcher: wrong input or an interruption gives no traceback.

  Args:
    main: the launcher's own part.
    config: what `--config` is where it is not given; a default would be read
      before anybody could catch what is wrong with it.
  """
  take_interruptions()
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
      _stop(*_about_system(error))
    except jax.errors.JaxRuntimeError as error:
      if 'RESOURCE_EXHAUSTED' not in str(error):
        raise
      _stop(_about_memory(error), DeviceMemoryError.exit_code)

  app.run(guarded, flags_parser=functools.partial(_parse_flags, config))


def _parse_flags(config: str, argv: list[str]) -> list[str]:
  if config and not any(re.match(r'--?config(=|$)', flag) for flag in argv):
    argv = [argv[0], f'--config={config}', *argv[1:]]
  try:
    rest = flags.FLAGS(argv)
    if len(rest) > 1:
      raise flags.Error(f'Expected only flags, got {rest[1]!r}.')
    return rest
  except (AttributeError, KeyError) as error:
    # Thus ml_collections names a wrong field, or one of what is no group; an
    # error may be around another.
    said = error.args[0]
    while isinstance(said, KeyError):
      said = said.args[0]
    name, *hint = str(said).splitlines()
    also = f' ({hint[0].rstrip("?.")}?)' if hint else ''
    name = name.rpartition('lookup: ')[2].strip('\'"')
    _stop(
      f"The config has no field '{name}'{also}; opp_darts_jax/config has all."
    )
  except (flags.Error, OSError) as error:
    _stop(str(error))


def _hide_failed_writes() -> None:
  """Hides tracebacks of a checkpoint that fails: the run says so itself.

  They come from threads of orbax and its storage.
  """
  std_logging.getLogger('asyncio').setLevel(std_logging.CRITICAL)
  logging.get_absl_handler().addFilter(
    lambda record: 'orbax' not in record.pathname
  )


def _about_system(error: OSError) -> tuple[str, int]:
  """What to say of it, and the exit code."""
  mend = 'what was saved is whole: mend it and give the same command again.'
  if callback := of_callback(error):
    return (
      f'{callback} raised {type(error).__name__}: {first_line(error)}; {mend}',
      UserError.exit_code,
    )
  where = f' {error.filename}' if error.filename else ''
  said = error.strerror or error
  return f'Could not read or write{where}: {said}; {mend}', WriteError.exit_code


def _about_memory(error: Exception) -> str:
  return (
    'The device has too little memory for a step; take '
    '--config.accumulate=2 (a step in parts) or more, --config.remat=True '
    '(inner values computed again), or a smaller --config.batch_size; got: '
    f'{first_line(error)}.'
  )


def _stop(sentence: str, code: int = UserError.exit_code) -> NoReturn:
  kind = 'stopped' if code == NotFinished.exit_code else 'error'
  # In one piece: other threads may have something to say, too.
  sys.stderr.write(f'{kind}: {" ".join(sentence.split())}\n')
  sys.stderr.flush()
  sys.exit(code)
