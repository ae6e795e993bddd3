"""How the programs of a run are made: for its devices, at its precision."""

import functools
import types
from collections.abc import Callable, Mapping
from typing import Any

import jax

from opp_darts_jax.config.run import RunConfig
from opp_darts_jax.operations.target import traced_for
from opp_darts_jax.running.devices import Devices

# Fusions of products with strided slices, as in the skip connections of
# reduction cells, abort the compiler of jax 0.10 for an H100.
_GPU_OPTIONS: Mapping[str, Any] = types.MappingProxyType(
  {'xla_gpu_enable_triton_gemm': False}
)


def compiled(
  function: Callable[..., Any],
  config: RunConfig,
  devices: Devices,
  gpu_options: Mapping[str, Any] = types.MappingProxyType({}),
  **options: Any,
) -> Any:
  """`jax.jit` of a function whose results every device has whole.

  Whatever is traced in it, derivatives too, is for the devices, and multiplies
  float32 numbers as the config says.

  Args:
    function: to be compiled when it is first called.
    config: of the run; its `precision`.
    devices: that the program runs on.
    gpu_options: of XLA's compiler, where the devices are GPUs.
    options: further ones of `jax.jit`.
  """

  @functools.wraps(function)
  def traced(*args: Any) -> Any:
    with (
      traced_for(devices.target),
      jax.default_matmul_precision(config.precision),
    ):
      return function(*args)

  if devices.target.platform == 'gpu':
    options['compiler_options'] = {**_GPU_OPTIONS, **gpu_options}
  return jax.jit(traced, out_shardings=devices.copied, **options)
