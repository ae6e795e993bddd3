"""What a cell of PC-DARTS takes, beside one of DARTS, on a CPU.

  python experiments/benchmark/cell.py --channels=16 --out=cells.json

The gradients of a normal cell of the supernet, all operations active, for its
inputs, operation weights and weights. Seconds are those of the process, of all
its threads: what else runs on a machine disturbs them less than a step's, and
a cell is compiled in seconds. Rounds alternate; a line of JSON has the median
of their ratios, and milliseconds of both.
"""

import functools
import json
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from steps import SPACE, build_kernels, environment

from opp_darts_jax import files
from opp_darts_jax.methods.pc_darts import partial_channels
from opp_darts_jax.supernet import loop
from opp_darts_jax.supernet.edges import CellEdges, cell_operations, phases

_KIND = 'normal'

_CHANNELS = flags.DEFINE_integer('channels', 16, 'of a node', lower_bound=1)
_SIZE = flags.DEFINE_integer('image_size', 32, 'of a node', lower_bound=1)
_BATCH = flags.DEFINE_integer('batch', 64, 'images', lower_bound=1)
_PARTIAL = flags.DEFINE_integer('partial', 4, "PC-DARTS's K", lower_bound=2)
_ROUNDS = flags.DEFINE_integer('rounds', 5, 'of each', lower_bound=1)
_OUT = flags.DEFINE_string('out', None, 'a JSON file that gets a further row')


def prepare(parts: int) -> Callable[[], float]:
  """Milliseconds of one gradient; parts: K of PC-DARTS, or 1 for DARTS."""
  partial = partial_channels(parts) if parts > 1 else None
  numbers = np.random.default_rng(0)

  def draw(shape: Any) -> np.ndarray:
    return numbers.standard_normal(shape.shape).astype(np.float32)

  def stacks(make: Callable[[Any], Any], fill: Callable[[Any], Any]) -> Any:
    return {
      o.name: jax.tree.map(fill, jax.eval_shape(functools.partial(make, o)))
      for o in operations
    }

  channels = _CHANNELS.value // parts
  operations = cell_operations(SPACE, _KIND, channels, False)
  params = stacks(lambda o: o.init(jax.random.key(0)), draw)
  running = stacks(
    lambda o: o.init_statistics(), lambda s: np.ones(s.shape, np.float32)
  )
  mask = jnp.asarray(SPACE.mask()[_KIND])
  shape = (_BATCH.value, _SIZE.value, _SIZE.value, _CHANNELS.value)
  node = jax.ShapeDtypeStruct(shape, np.float32)
  inputs = [draw(node) for _ in range(SPACE.graph.inputs)]
  weights = jnp.where(mask, 1 / len(SPACE.operations), 0.0)

  def loss(inputs, weights, params, mask):
    cell = CellEdges(
      graph=SPACE.graph,
      phases=phases(SPACE.graph, False),
      operations=operations,
      params=params,
      running=running,
      weights_EK=weights,
      mask_EK=mask,
      key=None,
      train=True,
      partial=partial,
    )
    return (loop.run_edges(cell, tuple(inputs))[0] ** 2).sum()

  args = inputs, weights, params, mask
  program = jax.jit(jax.grad(loss, (0, 1, 2))).lower(*args).compile()

  def run() -> float:
    begin = time.process_time()
    jax.block_until_ready(program(*args))
    return 1e3 * (time.process_time() - begin)

  return run


def main(argv: list[str]) -> None:
  """Prints the line."""
  del argv
  build_kernels()
  runs = {'own': prepare(_PARTIAL.value), 'darts': prepare(1)}
  times = [
    {name: run() for name, run in runs.items()}
    for _ in range(_ROUNDS.value + 1)
  ][1:]
  row = {
    'channels': _CHANNELS.value,
    'image_size': _SIZE.value,
    'batch': _BATCH.value,
    'partial': _PARTIAL.value,
    'ratio': statistics.median(t['own'] / t['darts'] for t in times),
    'cpu_ms': statistics.median(t['own'] for t in times),
    'darts_cpu_ms': statistics.median(t['darts'] for t in times),
  }
  row = {
    key: round(value, 3) if isinstance(value, float) else value
    for key, value in row.items()
  }
  row |= environment()
  print(json.dumps(row), flush=True)
  if _OUT.value:
    out = pathlib.Path(_OUT.value)
    rows = json.loads(out.read_text()) if out.exists() else []
    files.write_json(out, [*rows, row])


if __name__ == '__main__':
  app.run(main)
