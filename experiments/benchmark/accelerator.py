"""Counts what a supernet's program is on an accelerator that is not here.

  pip install 'opp_darts_jax[accelerator-aot]'
  python experiments/benchmark/accelerator.py --target=h100 --size=small

Compiles one program, of all 8 operations or of the first `--operations` that
might enter, all of them active, and prints a line of JSON:
seconds to lower and compile, kernels of a step by kind, bytes that they read
and write, memory, and a modelled time with its constants
(`opp_darts_jax/running/accelerators/time_model.py`). Three numbers are of the
StableHLO's text: its lines, conditions, for which the host of a GPU waits, and
scatters. `--lower_only` gives these alone, and needs no compiler of the
accelerator.

`--topology=2x2` is for as many devices, which divide the batch; counts, bytes
and memory are those of each, and collectives are told apart: all-reduces,
all-gathers, reduce-scatters, and the megabytes of what they give.

The modes are those of a step; 'score' and 'evaluate' are a search's own
programs, on one batch. Sizes are (channels, cells, batch): tiny (8, 2, 8),
small (8, 5, 32), full (16, 8, 64); `--channels=16` where a layout takes no
fewer. The line says what was taken.
"""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
from absl import app, flags
from counted import row_of, text_row
from steps import ENTRY, MODES, SIZES, SPACE, make_steps

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.config.run import COMPUTES, NORM_STATISTICS, PRECISIONS
from opp_darts_jax.data.augment import Augmentation
from opp_darts_jax.errors import UserError
from opp_darts_jax.methods.catalogue import get_method
from opp_darts_jax.methods.halves import init_state
from opp_darts_jax.methods.loss import Task, make_task
from opp_darts_jax.methods.state import Batch
from opp_darts_jax.running.accelerators import absent, compilation, time_model
from opp_darts_jax.running.accelerators.catalogue import (
  ACCELERATORS,
  Accelerator,
  get_accelerator,
)
from opp_darts_jax.running.devices import Devices, arguments_on
from opp_darts_jax.running.programs import compiled
from opp_darts_jax.running.searches.programs import SearchData, make_programs
from opp_darts_jax.supernet.cell import LAYOUTS

_PASSES = ('score', 'evaluate')
_IMAGE = (32, 32, 3)
_AUGMENTATION = Augmentation((0.5,) * 3, (0.25,) * 3)

_TARGET = flags.DEFINE_enum(
  'target', 'h100', list(ACCELERATORS), 'what it is compiled for'
)
_SIZE = flags.DEFINE_enum('size', 'small', list(SIZES), 'of the supernet')
_MODE = flags.DEFINE_enum('mode', 'first', [*MODES, *_PASSES], 'the program')
_METHOD = flags.DEFINE_string('method', 'darts', 'by which is searched')
_LAYOUT = flags.DEFINE_enum(
  'layout', 'auto', ['auto', *LAYOUTS], "how a cell's edges are run"
)
_COMPUTE = flags.DEFINE_enum(
  'compute', 'float32', list(COMPUTES), 'type of what the cells compute'
)
_PRECISION = flags.DEFINE_enum(
  'precision', 'highest', list(PRECISIONS), 'of products of float32'
)
_CHANNELS = flags.DEFINE_integer(
  'channels', 0, "of the first cell; 0 is the size's own", lower_bound=0
)
_BATCH = flags.DEFINE_integer(
  'batch', 0, "images in a step; 0 is the size's own", lower_bound=0
)
_TOPOLOGY = flags.DEFINE_string(
  'topology', '', "hosts x GPUs of each, or a grid of TPUs, as '2x2'"
)
_NORM_STATISTICS = flags.DEFINE_enum(
  'norm_statistics', 'global', list(NORM_STATISTICS), 'of several devices'
)
_DETERMINISTIC = flags.DEFINE_bool(
  'deterministic', False, 'without what may sum in another order'
)
_OPERATIONS = flags.DEFINE_integer(
  'operations',
  len(ENTRY),
  'of the space',
  lower_bound=1,
  upper_bound=len(ENTRY),
)
_LOWER_ONLY = flags.DEFINE_bool(
  'lower_only', False, 'count the StableHLO alone, without a compiler'
)


def sizes() -> tuple[int, int, int]:
  """Channels of the first cell, cells, and images in a step."""
  channels, cells, batch = SIZES[_SIZE.value]
  return _CHANNELS.value or channels, cells, _BATCH.value or batch


def make_program(devices: Devices) -> tuple[Any, tuple[Any, ...]]:
  """The program of the flags, and the shapes that it takes."""
  channels, cells, size = sizes()
  devices.check(size)
  config = SearchConfig(
    layers=cells,
    channels=channels,
    batch_size=size,
    layout=_LAYOUT.value,
    compute=_COMPUTE.value,
    precision=_PRECISION.value,
    norm_statistics=_NORM_STATISTICS.value,
    deterministic=_DETERMINISTIC.value,
  )
  names = ENTRY[: _OPERATIONS.value]
  own = tuple(o for o in SPACE.operations if o.name in names)
  space = dataclasses.replace(SPACE, operations=own)
  method = get_method(_METHOD.value)
  task = make_task(config, space, method, classes=10, per_epoch=1000)
  mask = jax.tree.map(jnp.asarray, space.mask())
  key = jax.random.key(0)
  state = jax.eval_shape(lambda: init_state(task, key, _IMAGE, mask))
  if _MODE.value in _PASSES:
    return _pass(task, state, size, devices)
  batch = Batch(
    jax.ShapeDtypeStruct((size, *_IMAGE), jnp.float32),
    jax.ShapeDtypeStruct((size,), jnp.int32),
  )
  steps = make_steps(_MODE.value, task)

  def divided(state, train, val, count):
    return steps(state, *devices.divide((train, val)), count)

  program = compiled(divided, config, devices, donate_argnums=0)
  return program, (state, batch, batch, jax.ShapeDtypeStruct((), jnp.int32))


def _pass(
  task: Task, state: Any, size: int, devices: Devices
) -> tuple[Any, tuple[Any, ...]]:
  """A search's own program that only looks: at a batch."""
  made = make_programs(task, _AUGMENTATION, _IMAGE, devices)
  rows = jax.ShapeDtypeStruct((size,), jnp.int32)
  data = SearchData(
    jax.ShapeDtypeStruct((50_000, *_IMAGE), jnp.uint8),
    jax.ShapeDtypeStruct((50_000,), jnp.int32),
    rows,
    rows,
  )
  if _MODE.value == 'evaluate':
    return made.evaluate, (state, data)
  key = jax.eval_shape(lambda: jax.random.key(0))
  total = jax.ShapeDtypeStruct((), jnp.float32)
  first = count = jax.ShapeDtypeStruct((), jnp.int32)
  return made.score, (total, state, state.mask, data, key, first, count)


def main(argv: list[str]) -> None:
  """Prints the line."""
  del argv
  absent.run_on_cpu()
  accelerator = get_accelerator(_TARGET.value)
  channels, cells, size = sizes()
  row: dict[str, Any] = {
    'target': accelerator.name,
    'size': _SIZE.value,
    'mode': _MODE.value,
    'method': _METHOD.value,
    'layout': _LAYOUT.value,
    'compute': _COMPUTE.value,
    'channels': channels,
    'cells': cells,
    'batch': size,
    'topology': _TOPOLOGY.value,
    'norm_statistics': _NORM_STATISTICS.value,
    'deterministic': _DETERMINISTIC.value,
    'operations': _OPERATIONS.value,
  }
  try:
    row |= measured(accelerator)
  except UserError as error:
    raise SystemExit(f'error: {error}') from error
  print(json.dumps(row | {'jax': jax.__version__}), flush=True)


def measured(accelerator: Accelerator) -> dict[str, Any]:
  """What lowering, and compiling if that is asked for, tell of the program."""
  if _LOWER_ONLY.value:
    if _TOPOLOGY.value:
      raise UserError('lower_only is for one device, without a topology.')
    devices = absent.devices_like(accelerator)
    program, arguments = make_program(devices)
    lowered, seconds = compilation.lower(program, arguments, accelerator)
    return text_row(lowered, seconds)
  devices = absent.find(accelerator.name, _TOPOLOGY.value).devices
  program, arguments = make_program(devices)
  built = compilation.build(program, arguments_on(devices, arguments))
  constants = time_model.model_of(accelerator, _PRECISION.value)
  return text_row(built.lowered, built.lower_s) | row_of(built, constants)


if __name__ == '__main__':
  app.run(main)
