"""Measures how long a search takes until its first steps are done.

  python experiments/benchmark/first_step.py --size=full --rounds=3

Every round is a process of its own, with an empty cache of compiled programs:
images of noise, as many steps an epoch as `--steps`, an end after the first
epoch. Lines of JSON: seconds from the call of the search until the first epoch
has ended, the processor's seconds until then, and both until the search has
ended, after it was evaluated.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
from absl import app, flags
from steps import SIZES, build_kernels, environment

from opp_darts_jax import api
from opp_darts_jax.data.dataset import of_arrays
from opp_darts_jax.launchers.launch import keep_programs

_SIZE = flags.DEFINE_enum('size', 'full', list(SIZES), 'of the supernet')
_ROUNDS = flags.DEFINE_integer('rounds', 1, 'processes', lower_bound=1)
_STEPS = flags.DEFINE_integer('steps', 1, 'of the epoch', lower_bound=1)
_ONE = flags.DEFINE_bool('one', False, 'be the process of a round')


def measure() -> dict[str, Any]:
  """Seconds of one search from an empty cache."""
  channels, cells, batch = SIZES[_SIZE.value]
  draw = np.random.default_rng(0)
  count = 2 * _STEPS.value * batch
  images = draw.integers(256, size=(count, 32, 32, 3), dtype=np.uint8)
  labels = np.arange(count) % 10
  data = of_arrays(images, labels, test=(images[:batch], labels[:batch]))
  build_kernels()
  found: dict[str, Any] = {}
  begin, before = time.perf_counter(), time.process_time()

  def note(what: str) -> None:
    found[f'{what}_s'] = round(time.perf_counter() - begin, 1)
    found[f'{what}_cpu_s'] = round(time.process_time() - before, 1)

  def on_epoch(record: Any) -> bool:
    del record
    note('first_epoch')
    return True

  api.search(
    data=data,
    layers=cells,
    channels=channels,
    batch_size=batch,
    epochs=50,
    eval_epochs=50,
    on_epoch=on_epoch,
    quiet=True,
  )
  note('end')
  return found


def main(argv: list[str]) -> None:
  """Prints a line a round."""
  del argv
  if _ONE.value:
    keep_programs()
    row = {'size': _SIZE.value, 'steps': _STEPS.value}
    print(json.dumps(row | measure() | environment()), flush=True)
    return
  for _ in range(_ROUNDS.value):
    with tempfile.TemporaryDirectory() as cache:
      subprocess.run(
        [sys.executable, *sys.argv, '--one'],
        env=os.environ | {'JAX_COMPILATION_CACHE_DIR': cache},
        check=True,
      )


if __name__ == '__main__':
  app.run(main)
