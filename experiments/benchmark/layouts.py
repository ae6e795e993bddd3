"""Compares the layouts of a cell's edges by what their programs would launch.

  python experiments/benchmark/layouts.py --size=small --mode=weight

Counts, in the compiled HLO of a step, the instructions that are kernels and the
bytes that they read and write: a loop's as often as it runs, a condition's as
its dearest branch. On a GPU each is a launch: their number decides where
kernels are small. On CPU, where this also runs, both layouts are traced as for
TPU: with the library's depthwise convolutions, without the C++ kernels.
"""

import os

# No compiler: the program is to be what a machine without the kernels has.
os.environ['CXX'] = 'none'

from absl import app, flags
from steps import MODES, SIZES, build_steps, start

from opp_darts_jax.config.search import LAYOUTS
from opp_darts_jax.running.absent import devices_like
from opp_darts_jax.running.accelerators import get_accelerator
from opp_darts_jax.running.counts import count

_SIZE = flags.DEFINE_enum('size', 'small', list(SIZES), 'of the supernet')
_MODE = flags.DEFINE_enum('mode', 'weight', list(MODES), 'what a step does')


def main(argv: list[str]) -> None:
  """Prints a row a layout."""
  del argv
  print(f'{"layout":8} {"kernels":>9} {"GB":>8}')
  for layout in LAYOUTS[1:]:
    task, state, train, val = start(_SIZE.value, 8, layout)
    devices = devices_like(get_accelerator('v5e'))
    compiled = build_steps(
      _MODE.value, task, state, train, val, devices=devices
    )
    counts = count(compiled.as_text())
    print(
      f'{layout:8} {counts.kernels:9,.0f} {counts.moved / 1e9:8.2f}', flush=True
    )


if __name__ == '__main__':
  app.run(main)
