"""Accelerators that are not here, for which programs are compiled.

The compilers come with the plugins that would run the programs, NVIDIA's and
libtpu, and need no device: `pip install 'opp_darts_jax[accelerator-aot]'`. They
say how many kernels a program is and how much memory it takes; nothing is run
(compilation.py).

libtpu asks Google Cloud which machine it is on, unless the environment has
`TPU_SKIP_MDS_QUERY`, `TPU_WORKER_HOSTNAMES` and `TPU_ACCELERATOR_TYPE`: what is
not set is set when programs are first compiled for a TPU, and only then. One
process at a time uses libtpu.
"""

import importlib
import os
import pkgutil
import re
import types
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies

from opp_darts_jax.errors import UserError, first_line
from opp_darts_jax.operations.target import Target
from opp_darts_jax.running.accelerators.catalogue import (
  Accelerator,
  get_accelerator,
)
from opp_darts_jax.running.devices import Devices

# '' stands for the accelerator's own type.
_TPU_ENVIRONMENT: Mapping[str, str] = types.MappingProxyType(
  {
    'TPU_SKIP_MDS_QUERY': '1',
    'TPU_WORKER_HOSTNAMES': 'localhost',
    'TPU_ACCELERATOR_TYPE': '',
  }
)
_EXTRA = "pip install 'opp_darts_jax[accelerator-aot]'"
_CONFIG: Any = jax.config  # Its type has no fields.


class Absent(NamedTuple):
  """An accelerator that programs are compiled for, and devices of it."""

  accelerator: Accelerator
  devices: Devices


def run_on_cpu() -> None:
  """This process shall run nothing on an accelerator, though one may be here.

  To be called before anything has run. NVIDIA's plugin asks for devices as it
  starts, and where it finds no driver it gives no compiler either, unless JAX
  is to run on the CPU alone.
  """
  _CONFIG.update('jax_platforms', 'cpu')


def find(name: str, topology: str = '') -> Absent:
  """The accelerator of a name, and its compiler.

  Args:
    name: of `catalogue.ACCELERATORS`.
    topology: 'AxB' are A hosts with B GPUs each, or a grid of TPUs; '' is one
      device.

  Raises:
    UserError: if there is none, or its compiler is not installed, or in use.
  """
  accelerator = get_accelerator(name)
  whole = _topology(accelerator, topology)
  options = {'topology_name': whole}
  if accelerator.platform == 'gpu':
    options = {
      'topology_name': accelerator.name,
      'topology': whole,
      'target_config': accelerator.config,
    }
  else:
    for name, value in _TPU_ENVIRONMENT.items():
      os.environ.setdefault(name, value or accelerator.config)
  try:
    found = topologies.get_topology_desc(
      platform=accelerator.lowered_for, **options
    )
  except (RuntimeError, ValueError) as error:
    raise UserError(_about(error, accelerator)) from error
  devices = found.devices if topology else found.devices[:1]
  return Absent(accelerator, Devices(devices))


def _topology(accelerator: Accelerator, sizes: str) -> str:
  """What JAX calls a set of them."""
  if not sizes:
    return accelerator.topology
  if not re.fullmatch(r'[1-9]\d*x[1-9]\d*', sizes):
    raise UserError(
      f"Expected a topology as '2x2' or '4x4', got {sizes!r}: hosts x GPUs of "
      'each, or a grid of TPUs.'
    )
  gpu = accelerator.platform == 'gpu'
  return f'1x{sizes}' if gpu else f'{accelerator.name}:{sizes}'


def _about(error: Exception, accelerator: Accelerator) -> str:
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
      f'{_EXTRA}; got: {first_line(error)}.'
    )
  if 'lockfile' in said or 'already in use' in said:
    return (
      'libtpu lets one process compile at a time, and another one does; wait '
      f'until it has ended; got: {first_line(error)}.'
    )
  return (
    f'Expected a compiler for {accelerator.name} that fits jax '
    f'{jax.__version__} ({_EXTRA}), got: {first_line(error)}.'
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


def devices_like(accelerator: Accelerator) -> Devices:
  """A device of this machine, for which is traced what an accelerator runs.

  Programs for it can be lowered for the accelerator, not compiled.
  """
  return Devices(jax.devices()[:1], Target(accelerator.platform))
