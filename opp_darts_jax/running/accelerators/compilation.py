"""Programs compiled for accelerators, here or not: what they are and take."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from jax.sharding import AbstractDevice, AbstractMesh, AxisType

from opp_darts_jax.errors import DeviceMemoryError, first_line
from opp_darts_jax.running.accelerators import counts
from opp_darts_jax.running.accelerators.catalogue import Accelerator
from opp_darts_jax.running.accelerators.counts import Counts, Lowered
from opp_darts_jax.running.devices import AXIS

_CONFIG: Any = jax.config  # Its type has no fields.
_KEPT = 'jax_persistent_cache_min_compile_time_secs'


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
