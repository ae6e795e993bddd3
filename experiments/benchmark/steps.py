"""The supernet's steps that the benchmarks time and profile."""

import dataclasses
import os
import platform
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.methods.catalogue import get_method
from opp_darts_jax.methods.halves import init_state, weight_step
from opp_darts_jax.methods.loss import Task, make_loss, make_task
from opp_darts_jax.methods.method import no_term
from opp_darts_jax.methods.state import Batch, SearchState
from opp_darts_jax.methods.steps import search_step
from opp_darts_jax.operations.cpu import native
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.processor import name_of
from opp_darts_jax.running.programs import compiled
from opp_darts_jax.spaces.darts import DARTS as SPACE

# The order in which --ops counts operations, as a search might take them in.
ENTRY = (
  'sep_conv_3x3',
  'dil_conv_5x5',
  'max_pool_3x3',
  'none',
  'sep_conv_5x5',
  'dil_conv_3x3',
  'avg_pool_3x3',
  'skip_connect',
)
# Channels of the first cell, cells, batch.
SIZES = {'tiny': (8, 2, 8), 'small': (8, 5, 32), 'full': (16, 8, 64)}
PER_EPOCH = 1000
MODES = ('forward', 'weight', 'first', 'second', 'second_fd')


def build_kernels() -> None:
  """Builds what is built once a machine: it is no program's compiling."""
  for library in native.LIBRARIES:
    native.available(library, 'float32')


def set_up(kernels: bool = True) -> None:
  """What a benchmark begins with: no program comes from an earlier run.

  Args:
    kernels: whether those for a CPU are built, too.
  """
  jax.config.update('jax_enable_compilation_cache', False)
  if kernels:
    build_kernels()


def temp_mb(compiled: Any) -> float:
  """Megabytes of temporary memory that a program takes, by XLA's own count."""
  return compiled.memory_analysis().temp_size_in_bytes / 1e6


def environment(**others: str) -> dict[str, str]:
  """What a row of results says of the machine and of versions, others' too."""
  versions = {
    'jax': jax.__version__,
    **others,
    'Python': platform.python_version(),
  }
  return {
    'machine': f'{name_of(jax.devices()[0])}, {os.cpu_count()} cores',
    'versions': ', '.join(' '.join(pair) for pair in versions.items()),
  }


def masked(
  state: SearchState, count: int
) -> tuple[SearchState, tuple[str, ...]]:
  """The state with the first `count` operations of `ENTRY`, and their names."""
  names = tuple(name for name in SPACE.names if name in ENTRY[:count])
  mask = jax.tree.map(jnp.asarray, SPACE.mask(names))
  return state.replace(mask=mask), names


def start(
  size: str,
  count: int,
  layout: str = 'auto',
  compute: str = 'float32',
  method: str = 'darts',
) -> tuple[Task, SearchState, Batch, Batch]:
  """A search, its first state, and a batch of noise for each half.

  Args:
    size: of `SIZES`.
    count: of active operations.
    layout: of the supernet.
    compute: type of what its cells compute.
    method: by which it searches.
  """
  channels, layers, batch = SIZES[size]
  config = SearchConfig(
    layers=layers,
    channels=channels,
    batch_size=batch,
    layout=layout,
    compute=compute,
  )
  task = make_task(config, SPACE, get_method(method), 10, PER_EPOCH)
  mask = jax.tree.map(jnp.asarray, SPACE.mask())
  state = jax.jit(lambda key: init_state(task, key, (32, 32, 3), mask))(
    jax.random.key(0)
  )
  draw = np.random.default_rng(0)
  train, val = (
    Batch(
      jnp.asarray(draw.normal(size=(batch, 32, 32, 3)), jnp.float32),
      jnp.asarray(draw.integers(10, size=batch)),
    )
    for _ in range(2)
  )
  return task, masked(state, count)[0], train, val


def build_steps(
  mode: str,
  task: Task,
  state: SearchState,
  train: Batch,
  val: Batch,
  accumulate: int = 1,
  devices: Devices | None = None,
) -> Any:
  """Compiles a loop over steps of a mode, as a search runs them.

  Args:
    mode: of `MODES`.
    task: of the search.
    state: of the search; its shapes are enough.
    train: a batch of D_train.
    val: a batch of D_val.
    accumulate: parts of a step.
    devices: that it is traced for; by default the first of this process.

  Returns:
    The compiled (state, number of steps) -> state; it consumes its state.
  """
  devices = devices or Devices(jax.devices()[:1])
  return lower_steps(
    mode, task, state, train, val, accumulate, devices
  ).compile()


def lower_steps(
  mode: str,
  task: Task,
  state: SearchState,
  train: Batch,
  val: Batch,
  accumulate: int,
  devices: Devices,
) -> Any:
  """What `build_steps` compiles."""
  steps = make_steps(mode, task, accumulate)

  def run(state, count):
    return steps(state, train, val, count)

  program = compiled(run, task.config, devices, donate_argnums=0)
  return program.lower(state, 1)


def make_steps(
  mode: str, task: Task, accumulate: int = 1
) -> Callable[..., SearchState]:
  """A loop over steps of a mode, to be compiled.

  Args:
    mode: of `MODES`.
    task: of the search.
    accumulate: parts of a step.

  Returns:
    (state, batch of D_train, batch of D_val, number of steps) -> state.
  """
  order = mode if mode.startswith('second') else 'first'
  config = dataclasses.replace(task.config, order=order, accumulate=accumulate)
  task = dataclasses.replace(task, config=config)
  key = jax.random.key(0)
  rate = config.weights.learning_rate

  def step(state, train, val):
    if mode == 'forward':
      # Images that change from step to step, or one pass would serve them all.
      batch = train._replace(images=train.images + 1e-6 * state.step)
      loss = make_loss(task, state, no_term)
      value, _ = loss(state.weights, state.alphas, batch, key)
      return state.replace(step=state.step + 1 + (value < 0))
    if mode == 'weight':
      return weight_step(task, state, rate, train, val, key)[0]
    return search_step(task, state, rate, train, val, key)[0]

  def steps(state, train, val, count):
    return jax.lax.fori_loop(
      0, count, lambda _, state: step(state, train, val), state
    )

  return steps
