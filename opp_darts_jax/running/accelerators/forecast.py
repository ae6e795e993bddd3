"""What a run would take on an accelerator that is not here: memory and time.

The run's own programs are compiled for it and counted; seconds are modelled.
"""

from typing import Any, NamedTuple

from opp_darts_jax.errors import DeviceMemoryError
from opp_darts_jax.running.accelerators import compilation, time_model
from opp_darts_jax.running.accelerators.catalogue import Accelerator
from opp_darts_jax.running.accelerators.compilation import Built


class Part(NamedTuple):
  """A program of a run, and how often it runs.

  Attributes:
    what: it does, as a word of the line about time.
    program: of `jax.jit`.
    arguments: its shapes, or numbers.
    runs: in the whole run; for loops of unknown length, turns of them.
    turns: see `compilation.build`.
  """

  what: str
  program: Any
  arguments: tuple[Any, ...]
  runs: int
  turns: int = 1


class Forecast(NamedTuple):
  """What a run would take.

  Attributes:
    text: a few lines.
    seconds: of the whole run, compiling among them; None if the compiler
      found no room for it.
  """

  text: str
  seconds: float | None


def of_parts(
  parts: list[Part], accelerator: Accelerator, precision: str
) -> Forecast:
  """What a run's programs would take.

  Args:
    parts: of the run, the steps first.
    accelerator: that the programs' arguments lie on.
    precision: of products of float32 numbers.
  """
  title = (
    f'  target    {accelerator.kind}, which is not here: programs compiled and '
    'counted, time modelled'
  )
  built: list[Built] = []
  for part in parts:
    try:
      built.append(compilation.build(part.program, part.arguments, part.turns))
    except DeviceMemoryError as error:
      says = f'{title}\n  memory    does not fit, {part.what}: {error}'
      return Forecast(says, None)
  model = time_model.model_of(accelerator, precision)
  each = [time_model.seconds(one.counts, model) for one in built]
  spent = [part.runs * seconds for part, seconds in zip(parts, each)]
  compiling = sum(one.lower_s + one.compile_s for one in built)
  each_part = ', '.join(
    f'{duration(seconds)} of {part.what}' for part, seconds in zip(parts, spent)
  )
  total = sum(spent) + compiling
  lines = [
    title,
    about_memory(max(built, key=lambda b: b.memory.total), accelerator),
    f'  a step    {each[0] * 1e3:,.1f} ms: {built[0].counts.kernels:,.0f} '
    f'kernels, {built[0].counts.moved / 1e9:,.2f} GB read and written',
    f'  time      about {duration(total)}: {each_part}, '
    f'{duration(compiling)} of compiling (measured here)',
  ]
  if accelerator.measured:
    lines.append(f'  at best   {accelerator.measured}')
  return Forecast('\n'.join(lines), total)


def about_memory(largest: Built, accelerator: Accelerator) -> str:
  """Whether a program fits an accelerator's memory, in a line."""
  memory = largest.memory
  taken = accelerator.memory * accelerator.share
  own = f'{amount(memory.total)} of {amount(accelerator.memory)}'
  if memory.total <= taken:
    says = f'fits: {own}'
  elif memory.total <= accelerator.memory:
    says = (
      f'fits only if JAX takes more than {accelerator.share:.0%} '
      f'(XLA_PYTHON_CLIENT_MEM_FRACTION): {own}'
    )
  else:
    says = f'does not fit: {own}'
  besides = memory.outputs + memory.temporary
  return (
    f'  memory    {says}; {amount(memory.arguments)} of state and data, '
    f'{amount(besides)} while it computes'
  )


def amount(size: float) -> str:
  """Bytes as a person says them."""
  if size >= 1e9:
    return f'{size / 1e9:.1f} GB'
  return f'{size / 1e6:.{0 if size >= 1e7 else 1}f} MB'


def duration(seconds: float) -> str:
  """Seconds as a person says them."""
  if seconds < 100:
    return f'{seconds:.{0 if seconds >= 10 else 1}f} s'
  minutes = round(seconds / 60)
  if minutes < 100:
    return f'{minutes} min'
  return f'{minutes // 60} h {minutes % 60} min'
