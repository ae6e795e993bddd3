"""Programs compiled for accelerators that are not here.

The compilers come with the plugins that would run the programs, NVIDIA's and
libtpu, and need no device: `pip install 'opp_darts_jax[accelerator-aot]'`. They
say how many kernels a program is and how much memory it takes; nothing is run.

libtpu asks Google Cloud which machine it is on, unless the environment has
`TPU_SKIP_MDS_QUERY`, `TPU_WORKER_HOSTNAMES` and `TPU_ACCELERATOR_TYPE`: what is
not set is set when programs are first compiled for a TPU, and only then. One
process at a time uses libtpu.
"""

import contextlib
import os
import re
import time
import types
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies
from jax.sharding import AbstractDevice, AbstractMesh, AxisType

from opp_darts_jax.errors import DeviceMemoryError, UserError, first_line
from opp_darts_jax.operations.target import Target
from opp_darts_jax.running import compilers, counts
from opp_darts_jax.running.accelerators import Accelerator, get_accelerator
from opp_darts_jax.running.counts import Counts, Lowered
from opp_darts_jax.running.devices import AXIS, Devices

# '' stands for the accelerator's own type.
_TPU_ENVIRONMENT: Mapping[str, str] = types.MappingProxyType(
  {
    'TPU_SKIP_MDS_QUERY': '1',
    'TPU_WORKER_HOSTNAMES': 'localhost',
    'TPU_ACCELERATOR_TYPE': '',
  }
)
_CONFIG: Any = jax.config  # Its type has no fields.
_KEPT = 'jax_persistent_cache_min_compile_time_secs'


class Absent(NamedTuple):
  """An accelerator that programs are compiled for, and devices of it."""

  accelerator: Accelerator
  devices: Devices


class Memory(NamedTuple):
  """Bytes on a device while a program runs.

  Attributes:
    arguments: what it is given: state and data.
    outputs: what it gives, without what takes the place of arguments.
    temporary: what it needs in between.
  """

  arguments: int
  outputs: int
  temporary: int

  @property
  def total(self) -> int:
    """All of it."""
    return sum(self)


class Built(NamedTuple):
  """A program that was compiled for an accelerator.

  Attributes:
    lowered: counts of its StableHLO.
    counts: of what was compiled; a loop over steps has turned once.
    memory: that it takes.
    optimal: seconds by the compiler's own model, where it has one.
    accessed: bytes by the compiler's own count, where it has one: for TPUs, and
      with those on the chip.
    lower_s: seconds that tracing and lowering took here.
    compile_s: seconds that compiling took here.
  """

  lowered: Lowered
  counts: Counts
  memory: Memory
  optimal: float | None
  accessed: float | None
  lower_s: float
  compile_s: float


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
    name: of `accelerators.ACCELERATORS`.
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
    raise UserError(compilers.about(error, accelerator)) from error
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


def devices_like(accelerator: Accelerator) -> Devices:
  """A device of this machine, for which is traced what an accelerator runs.

  Programs for it can be lowered for the accelerator, not compiled.
  """
  return Devices(jax.devices()[:1], Target(accelerator.platform))


def build(program: Any, arguments: tuple[Any, ...], turns: int = 1) -> Built:
  """Compiles a program for the devices that its arguments lie on.

  Args:
    program: of `jax.jit`, that traces for these devices.
    arguments: shapes from `devices.arguments_on`; or numbers.
    turns: of a loop that does not tell how many it has; see `counts.count`.

  Raises:
    DeviceMemoryError: if the compiler finds that the device has too little
      memory for it.
  """
  begin = time.perf_counter()
  with _whose_kernels(arguments):
    lowering = program.trace(*arguments).lower()
  lowered = time.perf_counter()
  try:
    with _nothing_kept():
      compiled = lowering.compile()
  except jax.errors.JaxRuntimeError as error:
    if 'RESOURCE_EXHAUSTED' not in str(error):
      raise
    raise DeviceMemoryError(f'{first_line(error)}.') from error
  done = time.perf_counter()
  return examine(lowering, compiled, lowered - begin, done - lowered, turns)


def examine(
  lowering: Any, compiled: Any, lower_s: float, compile_s: float, turns: int = 1
) -> Built:
  """What is known of a program that was compiled, for a device here or not.

  Args:
    lowering: of `jax.jit`.
    compiled: what came of it.
    lower_s: seconds that tracing and lowering took.
    compile_s: seconds that compiling took.
    turns: of a loop that does not tell how many it has; see `counts.count`.
  """
  sizes = compiled.memory_analysis()
  cost = compiled.cost_analysis() or {}
  optimal = cost.get('optimal_seconds', 0.0)
  return Built(
    counts.count_lowered(lowering.as_text()),
    counts.count(compiled.as_text(), turns),
    Memory(
      sizes.argument_size_in_bytes,
      sizes.output_size_in_bytes - sizes.alias_size_in_bytes,
      sizes.temp_size_in_bytes,
    ),
    optimal if optimal > 0 else None,
    cost.get('bytes accessed'),
    lower_s,
    compile_s,
  )


def lower(
  program: Any, arguments: tuple[Any, ...], accelerator: Accelerator
) -> tuple[Lowered, float]:
  """Lowers a program for an accelerator; its compiler is not needed.

  Args:
    program: of `jax.jit`, that traces for the accelerator's platform.
    arguments: shapes or values.
    accelerator: that it is for.

  Returns:
    Counts of its StableHLO, and the seconds that this took.
  """
  begin = time.perf_counter()
  with jax.sharding.use_abstract_mesh(mesh_of(accelerator)):
    lowering = program.trace(*arguments).lower(
      lowering_platforms=(accelerator.lowered_for,)
    )
  seconds = time.perf_counter() - begin
  return counts.count_lowered(lowering.as_text()), seconds


def mesh_of(accelerator: Accelerator) -> AbstractMesh:
  """A mesh that says whose kernels are wanted.

  Releases of JAX after 0.10 ask where no such device is, while they lower.
  """
  device = AbstractDevice(
    accelerator.kind, accelerator.cores, accelerator.platform
  )
  types = (AxisType.Auto,)
  return AbstractMesh((1,), (AXIS,), types, abstract_device=device)


def _whose_kernels(
  arguments: tuple[Any, ...],
) -> contextlib.AbstractContextManager[Any]:
  """Says it by the devices that the arguments lie on, if they lie anywhere."""
  for leaf in jax.tree.leaves(arguments):
    if isinstance(leaf, jax.ShapeDtypeStruct) and leaf.sharding is not None:
      return jax.sharding.use_abstract_mesh(leaf.sharding.mesh.abstract_mesh)
  return contextlib.nullcontext()


@contextlib.contextmanager
def _nothing_kept() -> Iterator[None]:
  """Within it no compiled program is written to JAX's cache.

  One for a device that is not there could not be read from it.
  """
  before = getattr(_CONFIG, _KEPT)
  _CONFIG.update(_KEPT, float('inf'))
  try:
    yield
  finally:
    _CONFIG.update(_KEPT, before)
