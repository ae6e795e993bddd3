"""What a run would take on an accelerator that is not here: memory and time.

The run's own programs are compiled for it and counted; seconds are modelled.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from opp_darts_jax.config import TrainConfig
from opp_darts_jax.data.augment import Augmentation
from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.data.split import count_batches
from opp_darts_jax.data.stream import Streamed
from opp_darts_jax.errors import DeviceMemoryError
from opp_darts_jax.methods import progressive
from opp_darts_jax.networks.network import Network
from opp_darts_jax.running import absent, evaluation, modelled
from opp_darts_jax.running.absent import Absent, Built
from opp_darts_jax.running.accelerators import Accelerator
from opp_darts_jax.running.devices import arguments_on
from opp_darts_jax.running.joint_programs import (
  JointPrograms,
  make_joint_programs,
)
from opp_darts_jax.running.live_search import (
  LiveSearch,
  programs_of,
  shapes_for,
)
from opp_darts_jax.running.search_programs import Programs
from opp_darts_jax.running.train_programs import (
  TrainMetrics,
  make_train_programs,
)


class Part(NamedTuple):
  """A program of a run, and how often it runs.

  Attributes:
    what: it does, as a word of the line about time.
    program: of `jax.jit`.
    arguments: its shapes, or numbers.
    runs: in the whole run; for loops of unknown length, turns of them.
    turns: see `absent.build`.
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


def of_search(search: LiveSearch, target: Absent) -> Forecast:
  """What a search would take.

  Args:
    search: prepared; it need not have begun. With several `search_seeds`, what
      is said is of all of them together.
    target: where it would run, on one device.
  """
  config, per_epoch = search.config, search.per_epoch
  devices = target.devices
  made = programs_of(
    config, search.space, search.method, search.images, per_epoch, devices
  )
  count = len(search.data.val_rows)
  batches = -(-count // evaluation.batch_size(config, devices, count))
  evaluations = sum(map(config.evaluates, range(config.epochs)))
  programs: Programs | JointPrograms = made
  state, sums, data, key, total = shapes_for(search, made, devices)
  own: list[Any] = [state, sums, key, 0.1, total, state.mask]
  if seeds := len(config.search_seeds):
    programs = make_joint_programs(made, config, devices)
    own = [(one,) * seeds for one in own]
  states, sums, keys, rates, totals, masks = own
  parts = [
    Part(
      'steps',
      programs.steps,
      (states, sums, data, keys, rates, 1),
      config.epochs * per_epoch,
    ),
    Part(
      'evaluation',
      programs.evaluate,
      (states, data, None),
      evaluations,
      batches,
    ),
  ]
  if 'progressive' in config.schedule.names:
    each = min(config.schedule.score_batches or per_epoch, per_epoch)
    arguments = totals, states, masks, data, keys, 0, 1
    scored = progressive.count_scored(search.space, config.schedule)
    parts.append(Part('scoring', programs.score, arguments, scored * each))
  found = of_parts(parts, target.accelerator, config.precision)
  last = (
    '            as if all operations had entered from the start, into a '
    f'supernet of {config.layers} cells throughout'
  )
  return found._replace(text=f'{found.text}\n{last}')


def of_training(
  config: TrainConfig,
  images: ImageData | Streamed,
  model: Network,
  target: Absent,
) -> Forecast:
  """What a training would take.

  Args:
    config: of it; with several seeds, all of them are counted.
    images: to train and test on.
    model: the network.
    target: where it would run, on one device.
  """
  devices = target.devices
  augmentation = Augmentation.of(images, config.data)
  shape = images.image_shape
  made = make_train_programs(config, model, shape, augmentation, devices)
  key = arguments_on(devices, jax.eval_shape(lambda: jax.random.key(0)))
  state = arguments_on(devices, jax.eval_shape(made.init, key))
  sums = arguments_on(devices, TrainMetrics.zeros())

  def split(count: int) -> tuple[Any, Any]:
    pixels = jax.ShapeDtypeStruct((count, *shape), jnp.uint8)
    labels = jax.ShapeDtypeStruct((count,), jnp.int32)
    return arguments_on(devices, (pixels, labels))

  streamed = isinstance(images, Streamed)
  size = config.batch_size
  train = split(size if streamed else images.num_train)
  test_size = evaluation.batch_size(config, devices, images.num_test)
  test = split(test_size if streamed else images.num_test)
  rate = 0.1, 0.1
  step = state, sums, *train, key, *rate
  per_epoch = count_batches(size, images.num_train, 'training images')
  seeds = max(1, len(config.seeds))
  steps = seeds * config.epochs * per_epoch
  tests = seeds * sum(map(config.evaluates, range(config.epochs)))
  batches = -(-images.num_test // test_size)
  parts = [
    Part('steps', made.step, step, steps)
    if streamed
    else Part('steps', made.steps, (*step, 1), steps),
    Part('tests', made.test, (state, *test, 1), tests * batches),
  ]
  return of_parts(parts, target.accelerator, config.precision)


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
      built.append(absent.build(part.program, part.arguments, part.turns))
    except DeviceMemoryError as error:
      says = f'{title}\n  memory    does not fit, {part.what}: {error}'
      return Forecast(says, None)
  model = modelled.model_of(accelerator, precision)
  each = [modelled.seconds(one.counts, model) for one in built]
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
