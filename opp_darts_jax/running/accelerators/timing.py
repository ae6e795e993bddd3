"""Seconds that a program takes: measured on the device of this process, or
modelled for one that is not here, by what is compiled for it (absent.py).
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.config import RunConfig
from opp_darts_jax.running import processor
from opp_darts_jax.running.accelerators import compilation, time_model
from opp_darts_jax.running.accelerators.absent import Absent
from opp_darts_jax.running.devices import Devices, arguments_on
from opp_darts_jax.running.programs import compiled

SOURCES = ('measured', 'modelled')
_ROUNDS = 9
_ROUND_S = 5e-3  # A round calls a program for about as long.


class Timing(NamedTuple):
  """How programs are timed.

  Attributes:
    source: of `SOURCES`.
    device: by its name.
    seconds: (function, its arguments' shapes) -> of a call.
  """

  source: str
  device: str
  seconds: Callable[[Callable[..., Any], tuple[Any, ...]], float]


def measured() -> Timing:
  """On the first device of this process: the median of several rounds."""
  devices = Devices(jax.devices()[:1])

  def seconds(function: Callable[..., Any], shapes: tuple[Any, ...]) -> float:
    program = compiled(function, RunConfig(), devices)
    return _median(program, devices.copy(_drawn(shapes)))

  # A call takes a while whatever it computes, which is none of an operation.
  idle = jax.ShapeDtypeStruct((1,), jnp.float32)
  call = seconds(lambda x: x + 1, (idle,))

  def beyond(function: Callable[..., Any], shapes: tuple[Any, ...]) -> float:
    return max(0.0, seconds(function, shapes) - call)

  return Timing(SOURCES[0], processor.device(), beyond)


def modelled_for(target: Absent) -> Timing:
  """On a device that is not here, by what is compiled for it."""
  model = time_model.model_of(target.accelerator)

  def seconds(function: Callable[..., Any], shapes: tuple[Any, ...]) -> float:
    program = compiled(function, RunConfig(), target.devices)
    given = arguments_on(target.devices, shapes)
    return time_model.seconds(compilation.build(program, given).counts, model)

  return Timing(SOURCES[1], target.accelerator.kind, seconds)


def _drawn(shapes: Any) -> Any:
  """Positive numbers, as variances have to be."""
  numbers = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: np.asarray(
      np.abs(numbers.standard_normal(leaf.shape)) / 8 + 0.5, leaf.dtype
    ),
    shapes,
  )


def _median(program: Callable[..., Any], given: Sequence[Any]) -> float:
  """Seconds of a call, the median of rounds of many."""

  def calls(count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
      result = program(*given)
    jax.block_until_ready(result)
    return (time.perf_counter() - start) / count

  calls(1)  # It compiles.
  count = max(1, round(_ROUND_S / max(calls(2), 1e-7)))
  return statistics.median(calls(count) for _ in range(_ROUNDS))
