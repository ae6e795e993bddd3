"""How long a program takes by a model of launches, bytes and products.

It adds what a device does partly at the same time, and takes its memory and its
arithmetic at their best: launches are too dear in it, kernels too cheap. It
compares programs; a measurement it is not.
"""

from typing import NamedTuple

from opp_darts_jax.running.accelerators.catalogue import Accelerator
from opp_darts_jax.running.accelerators.counts import Counts


class Model(NamedTuple):
  """The constants of the model, with their units.

  Attributes:
    launch_us: microseconds of a kernel, whatever it does.
    wait_us: microseconds of a condition, for which the host waits.
    meet_us: microseconds in which devices wait for each other, in a collective.
    bandwidth_gb_s: 10^9 bytes that memory reads and writes a second.
    peak_tflop_s: 10^12 operations a second in products of float32.
    peak_16_tflop_s: the same in 16 bits.
  """

  launch_us: float
  wait_us: float
  meet_us: float
  bandwidth_gb_s: float
  peak_tflop_s: float
  peak_16_tflop_s: float


def model_of(accelerator: Accelerator, precision: str = 'highest') -> Model:
  """The model's constants for an accelerator.

  Args:
    accelerator: its data sheet.
    precision: of products of float32 numbers, as in a config.
  """
  return Model(
    accelerator.launch * 1e6,
    accelerator.wait * 1e6,
    accelerator.meet * 1e6,
    accelerator.bandwidth / 1e9,
    accelerator.operations[precision] / 1e12,
    accelerator.operations['bfloat16'] / 1e12,
  )


def seconds(counts: Counts, model: Model) -> float:
  """Launches, waits, meetings, bytes at the bandwidth, then products."""
  return (
    counts.kernels * model.launch_us * 1e-6
    + counts.conditionals * model.wait_us * 1e-6
    + counts.collectives * model.meet_us * 1e-6
    + counts.moved / (model.bandwidth_gb_s * 1e9)
    + counts.operations / (model.peak_tflop_s * 1e12)
    + counts.operations_16 / (model.peak_16_tflop_s * 1e12)
  )
