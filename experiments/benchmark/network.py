"""Times how a training step of an evaluation network compiles, and runs.

  python experiments/benchmark/network.py --nostack --steps=3

Prints a line of JSON: seconds to trace and lower the step and to compile it,
from an empty cache, megabytes of temporary memory, and, with --steps, seconds a
step on noise (the median, each a dispatch of its own). The defaults are the
published CIFAR-10 network of OPP-DARTS.
"""

import json
import statistics
import time

import jax
import numpy as np
from absl import app, flags
from steps import environment, set_up, temp_mb

from opp_darts_jax.config import TrainConfig
from opp_darts_jax.data.augment import Augmentation
from opp_darts_jax.genotypes.published import load_genotype
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.trainings.programs import (
  TrainMetrics,
  make_train_programs,
)
from opp_darts_jax.running.trainings.task import make_network
from opp_darts_jax.spaces.darts import DARTS

_GENOTYPE = flags.DEFINE_string('genotype', 'OPP_DARTS', 'a published name')
_LAYERS = flags.DEFINE_integer('layers', 20, 'number of cells', 1)
_CHANNELS = flags.DEFINE_integer('channels', 36, 'of the first cell', 1)
_BATCH = flags.DEFINE_integer('batch', 96, 'images in a step', 2)
_STACK = flags.DEFINE_bool('stack', True, 'compile equal cells as one')
_REMAT = flags.DEFINE_bool('remat', False, 'compute cells again for gradients')
_STEPS = flags.DEFINE_integer('steps', 0, 'steps timed; 0 compiles only', 0)


def main(argv: list[str]) -> None:
  """Compiles, then runs."""
  del argv
  set_up()
  config = TrainConfig(
    layers=_LAYERS.value,
    channels=_CHANNELS.value,
    batch_size=_BATCH.value,
    stack=_STACK.value,
    remat=_REMAT.value,
  )
  genotype = load_genotype(_GENOTYPE.value)
  model = make_network(config, genotype, DARTS, classes=10)
  augmentation = Augmentation((0.5,) * 3, (0.25,) * 3, cutout=16)
  devices = Devices()
  programs = make_train_programs(
    config, model, (32, 32, 3), augmentation, devices
  )
  draw = np.random.default_rng(0)
  images = draw.integers(256, size=(_BATCH.value, 32, 32, 3), dtype=np.uint8)
  labels = draw.integers(10, size=_BATCH.value, dtype=np.int32)
  key = jax.random.key(0)
  args = devices.copy(
    (TrainMetrics.zeros(), images, labels, key, 0.025, 0.1, 1)
  )
  state = jax.eval_shape(programs.init, key)
  begin = time.perf_counter()
  lowered = programs.steps.lower(state, *args)
  lower_s = time.perf_counter() - begin
  begin = time.perf_counter()
  compiled = lowered.compile()
  row = {flag.name: flag.value for flag in (_GENOTYPE, _LAYERS, _CHANNELS)}
  row |= {flag.name: flag.value for flag in (_BATCH, _STACK, _REMAT)}
  row |= {
    'lower_s': round(lower_s, 1),
    'compile_s': round(time.perf_counter() - begin, 1),
    'temp_mb': round(temp_mb(compiled)),
  }
  times = []
  if _STEPS.value:
    state = programs.init(key)
  for _ in range(_STEPS.value):
    begin = time.perf_counter()
    state, _ = jax.block_until_ready(compiled(state, *args))
    times.append(time.perf_counter() - begin)
  row |= {
    'step_s': round(statistics.median(times), 2) if times else None,
    **environment(),
  }
  print(json.dumps(row), flush=True)


if __name__ == '__main__':
  app.run(main)
