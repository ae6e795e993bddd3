"""Measures a search on the GPU of this machine, in less than ten minutes.

  python experiments/benchmark/on_gpu.py --out=on_gpu.json
  python experiments/benchmark/on_gpu.py --size=tiny --budget=3600 \
    --patience=10  # On a CPU, where kernels are interpreted.

First whether the kernels compute what the other layouts compute; then seconds
to compile, times of steps beside what the model says of the same program,
memory, and whether two runs agree; a search of whole epochs; and PyTorch on the
same device, if it is installed. Every part is a process of its own with its own
limit of time: one that crashes or hangs takes nothing else with it. All that is
known is in the file at any time, and a part that had no time is named there.

`--parts=first_bfloat16,epoch_float32` runs these alone; with the same `--out`
they take their places among those that are there.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from absl import app, flags
from gpu_numbers import check_numbers, check_steps
from gpu_report import Report, read, update
from gpu_times import time_epochs, time_peer, time_steps
from steps import SIZES, environment, set_up

from opp_darts_jax import files
from opp_darts_jax.running.accelerators import absent
from opp_darts_jax.running.accelerators.catalogue import ACCELERATORS

# Seconds that are kept for ending a process.
_MARGIN = 5


class Measurement(NamedTuple):
  """A part of the measurements.

  Attributes:
    run: measures, and tells its `Report`.
    limit: seconds that it may take.
    least: seconds without which it is not begun.
    torch: whether it is PyTorch's.
  """

  run: Callable[['Report'], None]
  limit: float
  least: float = 20
  torch: bool = False


def _numbers(compute: str) -> Callable[[Report], None]:
  return lambda report: check_numbers(report, compute)


def _steps(
  mode: str, compute: str, layout: str = 'auto'
) -> Callable[[Report], None]:
  return lambda report: time_steps(
    report, _SIZE.value, mode, compute, layout, _CONSTANTS.value
  )


def _epochs(compute: str) -> Callable[[Report], None]:
  return lambda report: time_epochs(report, _SIZE.value, compute)


def _peer(compile_it: bool = False) -> Callable[[Report], None]:
  return lambda report: time_peer(report, _SIZE.value, compile_it)


# In the order in which they are worth their time. Limits are of a host that
# takes 76 s to lower and compile first order at full size.
PARTS = {
  'numbers': Measurement(_numbers('float32'), 120),
  'first_float32': Measurement(_steps('first', 'float32'), 150),
  'first_bfloat16': Measurement(_steps('first', 'bfloat16'), 150),
  'peer': Measurement(_peer(), 120, torch=True),
  'epoch_float32': Measurement(_epochs('float32'), 250, 120),
  'weight_float32': Measurement(_steps('weight', 'float32'), 100),
  'forward_float32': Measurement(_steps('forward', 'float32'), 50),
  'second_float32': Measurement(_steps('second', 'float32'), 400, 300),
  'weight_bfloat16': Measurement(_steps('weight', 'bfloat16'), 100),
  'forward_bfloat16': Measurement(_steps('forward', 'bfloat16'), 50),
  'numbers_bfloat16': Measurement(_numbers('bfloat16'), 100),
  'numbers_of_steps': Measurement(check_steps, 100),
  'epoch_bfloat16': Measurement(_epochs('bfloat16'), 250, 120),
  'second_bfloat16': Measurement(_steps('second', 'bfloat16'), 400, 300),
  'first_loop': Measurement(_steps('first', 'float32', 'loop'), 200, 60),
  'peer_compiled': Measurement(_peer(compile_it=True), 200, 60, torch=True),
}
_WITHOUT_KERNELS = 'first_loop'

_SIZE = flags.DEFINE_enum('size', 'full', list(SIZES), 'of the supernet')
_OUT = flags.DEFINE_string('out', 'on_gpu.json', 'the file for all results')
_BUDGET = flags.DEFINE_float('budget', 560, 'seconds for all parts together', 1)
_PATIENCE = flags.DEFINE_float(
  'patience', 1, "times a part's own limit, for a slow machine", 0
)
_PARTS = flags.DEFINE_list('parts', list(PARTS), ', '.join(PARTS))
_CONSTANTS = flags.DEFINE_enum(
  'constants',
  'h100',
  list(ACCELERATORS),
  'whose constants the model takes for a device that it does not know',
)
_PART = flags.DEFINE_string('part', '', 'be the process of this part')

flags.register_validator(
  'parts', lambda parts: set(parts) <= set(PARTS), f'must be among {[*PARTS]}'
)


def run_part(out: pathlib.Path, name: str) -> None:
  """What the process of a part does."""
  report = Report(out, name, _BUDGET.value)
  part = PARTS[name]
  if part.torch:
    # One library at a time has the GPU, and its own versions of CUDA's.
    absent.run_on_cpu()
  on_cpu = jax.devices()[0].platform == 'cpu'
  set_up(kernels=on_cpu and not part.torch)
  update(out, name, **environment())
  with report.guard():
    part.run(report)


def run_process(out: pathlib.Path, name: str, seconds: float) -> bool:
  """Runs a part in a process of its own.

  Args:
    out: the file.
    name: of the part.
    seconds: that it may take.

  Returns:
    Whether it came to its end, and nothing in it failed.
  """
  update(out, name, ended='was cut off')
  command = [
    *(sys.executable, __file__, f'--part={name}', f'--size={_SIZE.value}'),
    *(f'--out={out}', f'--budget={max(1, seconds - _MARGIN)}'),
    f'--constants={_CONSTANTS.value}',
  ]
  own = os.environ | {
    # Memory as it is needed: its peak is measured.
    'XLA_PYTHON_CLIENT_PREALLOCATE': 'false',
    # Spinning threads of OpenMP would slow down whatever runs beside them.
    'OMP_WAIT_POLICY': 'PASSIVE',
  }
  begin = time.monotonic()
  errors = out.with_name(f'{out.name}.{name}.stderr')
  with open(errors, 'w') as file:
    try:
      code = subprocess.run(
        command, env=own, stderr=file, timeout=seconds
      ).returncode
      ended = 'done' if code == 0 else f'failed with exit code {code}'
    except subprocess.TimeoutExpired:
      ended = f'stopped after {seconds:.0f} s'
  about: dict[str, Any] = {'ended': ended}
  if ended != 'done':
    lines = errors.read_text(errors='replace').strip().splitlines()
    about['stderr'] = [line[:300] for line in lines[:3] + lines[-3:]]
  errors.unlink()
  about['seconds'] = round(time.monotonic() - begin, 1)
  update(out, name, **about)
  rows = read(out)['parts'][name]['rows']
  fine = all('error' not in row and row.get('close', True) for row in rows)
  print(json.dumps({'part': name, **about}), flush=True)
  return ended == 'done' and fine


def main(argv: list[str]) -> None:
  """Runs the parts, or is one of them."""
  del argv
  out = pathlib.Path(_OUT.value).absolute()
  if _PART.value:
    run_part(out, _PART.value)
    return
  ends = time.monotonic() + _BUDGET.value
  waiting = [name for name in PARTS if name in _PARTS.value]
  out.parent.mkdir(parents=True, exist_ok=True)
  while waiting:
    name = waiting.pop(0)
    part, left = PARTS[name], ends - time.monotonic()
    found = read(out)
    found.setdefault('parts', {}).pop(name, None)
    files.write_json(out, found | {'size': _SIZE.value})
    if part.torch and importlib.util.find_spec('torch') is None:
      update(out, name, ended='skipped: PyTorch is not installed')
    elif left < part.least + _MARGIN:
      update(out, name, ended=f'skipped: {max(left, 0):.0f} s were left')
    elif (
      not run_process(out, name, min(_PATIENCE.value * part.limit, left))
      and name in ('numbers', 'first_float32')
      and _WITHOUT_KERNELS in waiting
    ):
      # The layout without own kernels is now what counts.
      waiting.remove(_WITHOUT_KERNELS)
      waiting.insert(0, _WITHOUT_KERNELS)


if __name__ == '__main__':
  app.run(main)
