"""The compilers of accelerators: whether they are there, and what is wrong."""

import importlib
import pkgutil

import jax

from opp_darts_jax.errors import first_line
from opp_darts_jax.running.accelerators import Accelerator

EXTRA = "pip install 'opp_darts_jax[accelerator-aot]'"


def about(error: Exception, accelerator: Accelerator) -> str:
  """What is wrong where an accelerator's compiler gives no devices."""
  said = str(error)
  if isinstance(error, NotImplementedError) and _has_plugin(accelerator):
    return (
      f'Expected a compiler for {accelerator.name}, got a plugin of JAX that '
      'does not start, as without a driver; it compiles where JAX itself is '
      f'to run on the CPU (JAX_PLATFORMS=cpu); got: {first_line(error)}.'
    )
  if 'not installed' in said or isinstance(error, NotImplementedError):
    return (
      f'To compile for {accelerator.name} its compiler must be installed: '
      f'{EXTRA}; got: {first_line(error)}.'
    )
  if 'lockfile' in said or 'already in use' in said:
    return (
      'libtpu lets one process compile at a time, and another one does; wait '
      f'until it has ended; got: {first_line(error)}.'
    )
  return (
    f'Expected a compiler for {accelerator.name} that fits jax '
    f'{jax.__version__} ({EXTRA}), got: {first_line(error)}.'
  )


def _has_plugin(accelerator: Accelerator) -> bool:
  """Whether a plugin of JAX for such accelerators is installed."""
  try:
    plugins = importlib.import_module('jax_plugins')
  except ImportError:
    return False
  return any(
    accelerator.lowered_for in module.name
    for module in pkgutil.iter_modules(plugins.__path__)
  )
