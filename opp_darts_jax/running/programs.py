"""How the programs of a run are made: for its devices, at its precision."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from opp_darts_jax.config.run import RunConfig
from opp_darts_jax.operations.target import traced_for
from opp_darts_jax.running.devices import Devices

# XLA's: no sums by atomic additions, and no trials of kernels.
_DETERMINISTIC = 'xla_gpu_deterministic_ops'


def compiled(
  function: Callable[..., Any],
  config: RunConfig,
  devices: Devices,
  **options: Any,
) -> Any:
  """`jax.jit` of a function whose results every device has whole.

  Whatever is traced in it, derivatives too, is for the devices, and multiplies
  float32 numbers as the config says.

  Args:
    function: to be compiled when it is first called.
    config: of the run; its `precision`, `norm_statistics`, `deterministic`.
    devices: that the program runs on.
    options: further ones of `jax.jit`.
  """
  own_norms = config.norm_statistics == 'device'
  target = devices.target._replace(own_norms=own_norms)

  @functools.wraps(function)
  def traced(*args: Any) -> Any:
    with (
      traced_for(target),
      jax.default_matmul_precision(config.precision),
    ):
      return function(*args)

  if config.deterministic and target.platform == 'gpu':
    options['compiler_options'] = {_DETERMINISTIC: True}
  return jax.jit(traced, out_shardings=devices.copied, **options)
