"""What programs are traced for: a platform, and devices that share a batch.

What is traced depends on where it will run: loops and C++ kernels on a CPU,
lists of copies on a GPU or a TPU; sums that meet once where a batch is divided.
The process that traces may run on other devices, so whoever makes a program
says what it is for:

    with traced_for(Target('tpu')):
      lowered = jax.jit(f).trace(x).lower(lowering_platforms=('tpu',))

JAX knows of it: what was traced for one target is never taken for another.
"""

import contextlib
from typing import Any, NamedTuple

import jax
from jax.sharding import NamedSharding

from opp_darts_jax.operations.cpu import native


class Target(NamedTuple):
  """Where a program will run.

  Attributes:
    platform: 'cpu', 'gpu' or 'tpu', as a `jax.Device` says it.
    devices: how many there are.
    copied: the sharding of what each of them has whole, if batches are divided
      among them along their first axis; None if nothing is known of it.
    own_norms: whether norms go by the moments of each device's share of the
      batch instead of those of the whole.
  """

  platform: str
  devices: int = 1
  copied: NamedSharding | None = None
  own_norms: bool = False


_target = jax.make_user_context(None)


def traced_for(target: Target) -> contextlib.AbstractContextManager[Any]:
  """Inside it, all that is traced is for this target."""
  return _target(target)


def current() -> Target:
  """What is traced for now: unless said otherwise, this process's devices."""
  return _target.value or Target(jax.default_backend(), jax.device_count())


def matmul_precision() -> Any:
  """JAX's default precision of products now, for what is traced later."""
  config: Any = jax.config  # Its type has no fields.
  return config.jax_default_matmul_precision


def kernels_serve(*arrays: jax.Array) -> bool:
  """Whether what is traced now shall call the C++ kernels on these arrays.

  They serve a single CPU: XLA cannot divide their work among several.
  """
  target = current()
  alone = target.platform == 'cpu' and target.devices == 1
  return alone and native.supports(*arrays)
