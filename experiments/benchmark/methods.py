"""What a step of each method takes, beside one of DARTS.

  python experiments/benchmark/methods.py --size=small --out=methods.json

A first-order step of both halves, all operations active, in the middle of a
search, when alphas move. Rounds alternate between the method and DARTS, and are
in the processor's seconds, which others on the machine hardly lengthen. It
prints a line of JSON a method, and goes on with a file that has some: the
median of the rounds' ratios, milliseconds of both, seconds to trace and compile
(from an empty cache), and megabytes of temporary memory, by XLA's own count.
Kernels on an accelerator: `accelerator.py --method=NAME`.
"""

import json
import pathlib
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
from absl import app, flags
from rounds import Round, alternate, chained
from steps import (
  ENTRY,
  PER_EPOCH,
  SIZES,
  build_steps,
  environment,
  set_up,
  start,
  temp_mb,
)

from opp_darts_jax import files
from opp_darts_jax.methods.catalogue import METHODS

# Random cells train nothing. PC-DARTS as published, and with half the channels.
_METHODS = (
  *(name for name in METHODS if name not in ('darts', 'random_cells')),
  'pc_darts(partial=2)',
)
# In the middle of the search, after all warm-ups.
_EPOCH = 30

_SIZE = flags.DEFINE_enum('size', 'small', list(SIZES), 'of the supernet')
_NAMES = flags.DEFINE_multi_string('method', _METHODS, 'to measure')
_ROUNDS = flags.DEFINE_integer('rounds', 7, 'of each', lower_bound=1)
_STEPS = flags.DEFINE_integer('steps', 2, 'of a round', lower_bound=1)
_OUT = flags.DEFINE_string('out', None, 'a JSON file for the rows')


def prepare(method: str) -> tuple[Round, dict[str, Any]]:
  """Rounds of a method's steps, and what compiling them told."""
  task, state, train, val = start(_SIZE.value, len(ENTRY), method=method)
  state = state.replace(step=jnp.full_like(state.step, _EPOCH * PER_EPOCH))
  begin = time.process_time()
  program = build_steps('first', task, state, train, val)
  seconds = time.process_time() - begin

  def run(state: Any, count: int) -> Any:
    return jax.block_until_ready(program(state, count))

  about = {
    'compile_s': round(seconds, 1),
    'temp_mb': round(temp_mb(program), 1),
  }
  return chained(run, state, _STEPS.value), about


def main(argv: list[str]) -> None:
  """Prints and writes a row for each method."""
  del argv
  set_up()
  out = pathlib.Path(_OUT.value) if _OUT.value else None
  rows = json.loads(out.read_text()) if out and out.exists() else []
  known = {(row['method'], row['size']) for row in rows}
  darts, of_darts = prepare('darts')
  for name in _NAMES.value:
    if (name, _SIZE.value) in known:
      continue
    own, about = prepare(name)
    times = alternate(
      {'own': own, 'darts': darts},
      _ROUNDS.value,
      _STEPS.value,
      time.process_time,
    )
    ratios = [a / b for a, b in zip(times['own'], times['darts'])]
    rows.append(
      {
        'method': name,
        'size': _SIZE.value,
        'ratio': round(statistics.median(ratios), 3),
        'ratios': [round(ratio, 3) for ratio in sorted(ratios)],
        'ms': round(statistics.median(times['own']), 1),
        'darts_ms': round(statistics.median(times['darts']), 1),
        **about,
        **{f'darts_{key}': value for key, value in of_darts.items()},
        **environment(),
      }
    )
    print(json.dumps(rows[-1]), flush=True)
    if out:
      files.write_json(out, rows)


if __name__ == '__main__':
  app.run(main)
