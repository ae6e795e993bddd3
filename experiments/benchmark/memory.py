"""What a supernet's step takes of memory, and what saves some of it.

  python experiments/benchmark/memory.py --size=full --out=memory.json

Compiles a first-order step with and without rematerialisation, whole and in two
and four parts, in the layouts that run on a CPU. It prints a line of JSON each:
megabytes of temporary memory by XLA's own count, and seconds to trace and
compile from an empty cache.
"""

import dataclasses
import itertools
import json
import time

from absl import app, flags
from steps import (
  MODES,
  SIZES,
  build_steps,
  environment,
  set_up,
  start,
  temp_mb,
)

from opp_darts_jax import files

_SIZE = flags.DEFINE_enum('size', 'small', list(SIZES), 'of the supernet')
_MODE = flags.DEFINE_enum('mode', 'first', list(MODES), 'the step')
_LAYOUT = flags.DEFINE_list('layouts', ['loop'], 'how edges are run')
_PARTS = flags.DEFINE_list('accumulate', ['1', '2', '4'], 'parts of a step')
_OUT = flags.DEFINE_string('out', None, 'a JSON file for the rows')


def main(argv: list[str]) -> None:
  """Prints and writes a row for each way to take a step."""
  del argv
  set_up()
  rows = []
  task, state, train, val = start(_SIZE.value, 8)
  for layout, remat, parts in itertools.product(
    _LAYOUT.value, (False, True), map(int, _PARTS.value)
  ):
    model = task.model.clone(layout=layout, remat=remat)
    own = dataclasses.replace(task, model=model)
    begin = time.perf_counter()
    compiled = build_steps(_MODE.value, own, state, train, val, parts)
    seconds = time.perf_counter() - begin
    rows.append(
      {
        'size': _SIZE.value,
        'mode': _MODE.value,
        'layout': layout,
        'remat': remat,
        'accumulate': parts,
        'temp_mb': round(temp_mb(compiled), 1),
        'compile_s': round(seconds, 1),
        **environment(),
      }
    )
    print(json.dumps(rows[-1]), flush=True)
    if _OUT.value:
      files.write_json(_OUT.value, rows)


if __name__ == '__main__':
  app.run(main)
