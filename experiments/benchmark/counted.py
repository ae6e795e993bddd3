"""Rows of results: what is known of a program, lowered or compiled."""

from typing import Any

from opp_darts_jax.running.accelerators import time_model
from opp_darts_jax.running.accelerators.compilation import Built
from opp_darts_jax.running.accelerators.counts import Counts, Lowered

# Of counts that are no numbers of kernels.
_OTHERS = ('read', 'written', 'operations', 'operations_16', 'exchanged')


def text_row(lowered: Lowered, seconds: float) -> dict[str, Any]:
  """What is known of a program that was lowered."""
  return {
    'lower_s': round(seconds, 1),
    'stablehlo_lines': lowered.lines,
    'host_conditions': lowered.conditions,
    'scatters': lowered.scatters,
  }


def row_of(built: Built, constants: time_model.Model | None) -> dict[str, Any]:
  """What is known of a program that was compiled.

  Args:
    built: the program.
    constants: of the device that it is for; None if nothing is modelled.
  """
  counts, memory = built.counts, built.memory
  kinds = {
    name: round(number)
    for name, number in counts._asdict().items()
    if name not in _OTHERS
  }
  optimal, accessed = built.optimal, built.accessed
  return {
    'compile_s': round(built.compile_s, 1),
    'kernels': round(counts.kernels),
    **kinds,
    'moved_mb': round(counts.moved / 1e6, 1),
    'accessed_mb': None if accessed is None else round(accessed / 1e6, 1),
    'exchanged_mb': round(counts.exchanged / 1e6, 3),
    'gflop': round(counts.operations / 1e9, 2),
    'gflop_16': round(counts.operations_16 / 1e9, 2),
    'temp_mb': round(memory.temporary / 1e6, 1),
    'argument_mb': round(memory.arguments / 1e6, 1),
    'total_mb': round(memory.total / 1e6, 1),
    'optimal_ms': None if optimal is None else round(optimal * 1e3, 3),
    **_modelled(counts, constants),
  }


def _modelled(
  counts: Counts, constants: time_model.Model | None
) -> dict[str, Any]:
  if constants is None:
    return {'modelled_ms': None}
  return {
    'modelled_ms': round(time_model.seconds(counts, constants) * 1e3, 3),
    'constants': constants._asdict(),
  }
