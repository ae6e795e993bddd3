"""Measures a search on the GPU of this machine, in less than ten minutes.

  python experiments/benchmark/on_gpu.py --out=on_gpu.json
  python experiments/benchmark/on_gpu.py --size=tiny --budget=1800 \
    --patience=4  # On a CPU, where kernels are interpreted.

First whether the kernels compute what the other layouts compute; then seconds
to compile, times of steps beside what the model says of the same program,
memory, and whether two runs agree; a search of whole epochs; and PyTorch on the
same device, if it is installed. Every part is a process of its own with its own
limit of time: one that crashes or hangs takes nothing else with it. All that is
known is in the file at any time, and a part that had no time is named there.

`--parts=first_bfloat16,epoch_float32` runs these alone; with the same `--out`
they take their places among those that are there.
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from counted import row_of, text_row
from rounds import alternate, chained, repeated
from steps import (
  ENTRY,
  SIZES,
  build_kernels,
  environment,
  lower_steps,
  masked,
  start,
)

from opp_darts_jax import api
from opp_darts_jax.data.dataset import of_arrays
from opp_darts_jax.methods.loss import Task, make_loss
from opp_darts_jax.methods.method import no_term
from opp_darts_jax.running import absent, modelled
from opp_darts_jax.running.accelerators import ACCELERATORS
from opp_darts_jax.running.devices import Devices
from opp_darts_jax.running.programs import compiled

_OPERATIONS = (8, 1, 4, 2)  # The most telling first, should time run out.
_ROUND_S = 0.5
# Relative norms of differences: of rounding, and of a kernel that is wrong.
_CLOSE = {'float32': 1e-3, 'bfloat16': 0.1}
# Seconds that are kept for ending a process.
_MARGIN = 5


class Part(NamedTuple):
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


class Report:
  """What a part has found, in the file as soon as it is known."""

  def __init__(self, out: pathlib.Path, part: str, seconds: float) -> None:
    self._out, self._part = out, part
    self._ends = time.monotonic() + seconds

  @property
  def left(self) -> float:
    """Seconds that the part still has."""
    return self._ends - time.monotonic()

  def add(self, **row: Any) -> None:
    """Adds a row."""
    update(self._out, self._part, row=row)
    print(json.dumps({'part': self._part, **row}), flush=True)

  @contextlib.contextmanager
  def guard(self, **about: Any) -> Iterator[None]:
    """What fails within it is a row, and the rest goes on."""
    try:
      yield
    except Exception as error:  # noqa: BLE001, as anything may be wrong there
      self.add(**about, error=said(error))


def said(error: Exception) -> str:
  """The kind of an error and the first line of its text."""
  lines = str(error).strip().splitlines() or ['']
  return f'{type(error).__name__}: {lines[0][:300]}'


def update(
  out: pathlib.Path,
  part: str,
  row: dict[str, Any] | None = None,
  **of_part: Any,
) -> None:
  """Writes what is new of a part into the file, which is whole at any time."""
  found = read(out)
  own = found.setdefault('parts', {}).setdefault(part, {'rows': []})
  own |= of_part
  if row is not None:
    own['rows'].append(row)
  beside = out.with_name(f'{out.name}.new')
  beside.write_text(json.dumps(found, indent=1))
  beside.replace(out)


def read(out: pathlib.Path) -> dict[str, Any]:
  """What is in the file so far."""
  return json.loads(out.read_text()) if out.exists() else {}


# What parts measure.


def check_numbers(report: Report, compute: str) -> None:
  """The layout of lists against loops or batches, on this device."""
  # The forward pass first: where it fails, gradients say nothing.
  _compare(report, compute, 'forward', _loss_of)
  _compare(report, compute, 'gradients', _gradients_of)


def check_steps(report: Report) -> None:
  """States after a step, exact second order among them."""
  for mode in ('first', 'second'):
    with report.guard(mode=mode):
      step = functools.partial(_step_of, mode=mode)
      _compare(report, 'float32', f'{mode} step', step)


def _compare(
  report: Report,
  compute: str,
  what: str,
  make: Callable[..., Callable[[Any], Any]],
) -> None:
  """Rows of the largest deviations from a layout without own kernels.

  Args:
    report: gets them.
    compute: of the supernet.
    what: is compared.
    make: (task, state, batches) -> a function of the state, compiled.
  """
  found: dict[str, Any] = {}
  for layout in ('copies', 'loop'):
    if len(found) == 2:
      break  # The second is for where loops do not run.
    with report.guard(compute=compute, what=what, layout=layout):
      task, state, *batches = start('tiny', len(ENTRY), layout, compute)
      begin = time.perf_counter()
      run = make(task, state, *batches)
      values = {n: run(masked(state, n)[0]) for n in (8, 3)}
      found[layout] = jax.tree.map(np.asarray, values)
      seconds = time.perf_counter() - begin
      report.add(
        compute=compute, what=what, layout=layout, seconds=round(seconds, 1)
      )
  if 'copies' not in found or len(found) < 2:
    return
  ours, (other, theirs) = found['copies'], list(found.items())[1]
  for count, values in ours.items():
    deviations = {
      name: deviation(values[name], theirs[count][name]) for name in values
    }
    worst = max(deviations.values())
    report.add(
      compute=compute,
      what=what,
      against=other,
      operations=count,
      deviations={name: float(f'{d:.2e}') for name, d in deviations.items()},
      close=bool(worst <= _CLOSE[compute]),
    )


def deviation(ours: Any, theirs: Any) -> float:
  """The norm of the difference of two pytrees, as part of the second's."""
  a, b = (
    np.concatenate([np.ravel(x).astype(np.float64) for x in jax.tree.leaves(t)])
    for t in (ours, theirs)
  )
  return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30))


def _program(task: Task, function: Callable[..., Any]) -> Callable[..., Any]:
  """A function, compiled as a search compiles its own."""
  devices = Devices(jax.devices()[:1])
  return compiled(function, task.config, devices)


def _loss_of(task: Task, state: Any, train: Any, val: Any) -> Any:
  def loss(state):
    own = make_loss(task, state, no_term)
    key = jax.random.key(0)
    loss, passed = own(state.weights, state.alphas, train, key)
    return {'loss': loss, 'statistics': passed.batch_stats}

  return _program(task, loss)


def _gradients_of(task: Task, state: Any, train: Any, val: Any) -> Any:
  def gradients(state):
    own = make_loss(task, state, no_term)
    derived = jax.value_and_grad(own, (0, 1), has_aux=True)
    key = jax.random.key(0)
    (loss, _), found = derived(state.weights, state.alphas, train, key)
    return {'loss': loss, 'weights': found[0], 'alphas': found[1]}

  return _program(task, gradients)


def _step_of(task: Task, state: Any, train: Any, val: Any, mode: str) -> Any:
  devices = Devices(jax.devices()[:1])
  run = lower_steps(mode, task, state, train, val, 1, devices).compile()

  def step(state):
    after = run(jax.tree.map(jnp.copy, state), 1)
    return {
      field.name: value
      for field in dataclasses.fields(after)
      if jax.tree.leaves(value := getattr(after, field.name))
    }

  return step


def time_steps(
  report: Report, mode: str, compute: str, layout: str = 'auto'
) -> None:
  """Compiles the steps of a mode, and times them."""
  task, initial, train, val = start(_SIZE.value, len(ENTRY), layout, compute)
  devices = Devices(jax.devices()[:1])
  begin = time.perf_counter()
  lowering = lower_steps(mode, task, initial, train, val, 1, devices)
  lowered = time.perf_counter()
  program = lowering.compile()
  done = time.perf_counter()
  report.add(
    mode=mode,
    compute=compute,
    layout=layout,
    lower_s=round(lowered - begin, 1),
    compile_s=round(done - lowered, 1),
  )
  row: dict[str, Any] = {}
  with report.guard(what='counts'):
    row = _counts(lowering, program, lowered - begin, done - lowered)
    report.add(what='counts', **row)

  def run(state: Any, count: int) -> Any:
    return jax.block_until_ready(program(state, count))

  for count in _OPERATIONS:
    if report.left < 8 * _ROUND_S:
      report.add(operations=count, error='no time was left')
      continue
    with report.guard(operations=count):
      state, _ = masked(initial, count)
      ms = _time(lambda steps, state=state: chained(run, state, steps))
      report.add(
        operations=count,
        ms=ms['ms'],
        all_ms=ms['all_ms'],
        steps=ms['steps'],
        # The program is one: its counts are those of all operations.
        modelled_8_ms=row.get('modelled_ms'),
      )
  with report.guard(what='determinism'):
    report.add(what='determinism', **_determinism(run, initial))
  with report.guard(what='memory'):
    report.add(what='memory', **_memory())


def _counts(
  lowering: Any, program: Any, lower_s: float, compile_s: float
) -> dict[str, Any]:
  """Counts of the program itself, and the model's time of a step."""
  constants = None
  device = jax.devices()[0]
  if device.platform != 'cpu':
    near = [a for a in ACCELERATORS.values() if a.kind == device.device_kind]
    accelerator = near[0] if near else ACCELERATORS[_CONSTANTS.value]
    constants = modelled.model_of(accelerator)
  built = absent.examine(lowering, program, lower_s, compile_s)
  return text_row(built.lowered, lower_s) | row_of(built, constants)


def _time(make: Callable[[int], Any], rounds: int = 5) -> dict[str, Any]:
  """Milliseconds a step: the median of rounds, each many steps."""
  probe = make(2)
  probe()
  begin = time.perf_counter()
  probe()
  each = (time.perf_counter() - begin) / 2
  steps = int(np.clip(_ROUND_S / each, 1, 100))
  rounds = rounds if each < 4 * _ROUND_S else 1
  times = alternate({'own': make(steps)}, rounds, steps)['own']
  return {
    'ms': round(statistics.median(times), 3),
    'all_ms': [round(t, 3) for t in sorted(times)],
    'steps': steps,
  }


def _determinism(run: Callable[..., Any], state: Any) -> dict[str, Any]:
  """Whether the same steps twice give the same bits."""
  ends = [
    jax.tree.map(np.asarray, run(jax.tree.map(jnp.copy, state), 5))
    for _ in range(2)
  ]
  leaves = [jax.tree.leaves(end) for end in ends]
  digest = hashlib.sha256()
  for leaf in leaves[0]:
    digest.update(leaf.tobytes())
  return {
    'bits_equal': all(a.tobytes() == b.tobytes() for a, b in zip(*leaves)),
    'deviation': deviation(*ends),
    'sha256': digest.hexdigest()[:16],  # To compare with another process.
  }


def _memory() -> dict[str, Any]:
  """Megabytes that this process had on the device at most."""
  stats = jax.devices()[0].memory_stats() or {}
  names = ('peak_bytes_in_use', 'bytes_in_use', 'bytes_limit')
  return {
    name.replace('bytes', 'mb'): round(stats[name] / 1e6, 1)
    for name in names
    if name in stats
  }


def time_epochs(report: Report, compute: str) -> None:
  """A search of whole epochs, by the function that users call."""
  channels, cells, batch = SIZES[_SIZE.value]
  count = 50_000 if _SIZE.value == 'full' else 20 * batch
  draw = np.random.default_rng(0)
  images = draw.integers(256, size=(count, 32, 32, 3), dtype=np.uint8)
  labels = draw.integers(10, size=count)
  data = of_arrays(images, labels, test=(images[:batch], labels[:batch]))
  begin = last = time.perf_counter()
  before = 0

  def on_epoch(record: Any) -> bool:
    nonlocal last, before
    now = time.perf_counter()
    seconds, steps = now - last, record.step - before
    report.add(
      epoch=record.epoch,
      compute=compute,
      seconds=round(seconds, 2),
      since_start_s=round(now - begin, 2),
      steps=steps,
      ms_of_all=round(1e3 * seconds / steps, 3),
      compiled_in_it=record.epoch == 0,
    )
    last, before = now, record.step
    return report.left < 1.5 * seconds

  api.search(
    data=data,
    layers=cells,
    channels=channels,
    batch_size=batch,
    compute=compute,
    epochs=3,
    schedule={'name': 'plain'},
    on_epoch=on_epoch,
    quiet=True,
  )
  report.add(what='memory', **_memory())


def time_peer(report: Report, compile_it: bool = False) -> None:
  """PyTorch's supernet, eager or compiled, beside nothing else."""
  import torch
  from peers import build_peer

  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  where = torch.cuda.get_device_name() if device == 'cuda' else 'the CPU'
  report.add(
    torch=torch.__version__,
    device=where,
    tf32_convolutions=torch.backends.cudnn.allow_tf32,
  )
  task, initial, train, val = start(_SIZE.value, len(ENTRY), 'loop')

  def build(count: int, last: bool) -> Any:
    state, operations = masked(initial, count)
    return build_peer(task.model, state, operations, (train, val), last, device)

  def measure(what: str, count: int, last: bool, step: Any) -> None:
    if report.left < 8 * _ROUND_S:
      report.add(what=what, operations=count, error='no time was left')
      return
    with report.guard(what=what, operations=count, channels_last=last):
      begin = time.perf_counter()
      step()
      first_s = time.perf_counter() - begin
      ms = _time(lambda steps: repeated(step, steps), rounds=3)
      report.add(
        what=what,
        operations=count,
        channels_last=last,
        first_s=round(first_s, 1),
        **ms,
      )

  if compile_it:
    peer = build(8, False)
    peer.model = torch.compile(peer.model)
    measure('first, torch.compile', 8, False, peer.first)
  else:
    for count in _OPERATIONS:
      if report.left < 16 * _ROUND_S:
        report.add(operations=count, error='no time was left')
        continue
      for last in (False, True):
        peer = build(count, last)
        for mode in ('first', 'forward'):
          measure(mode, count, last, getattr(peer, mode))
        if count == 8:
          measure('weight', 8, last, peer.weight)
        if count == 8 and device == 'cuda':
          with torch.autocast('cuda', torch.bfloat16):
            measure('first, autocast to bfloat16', 8, last, peer.first)
          measure('second', 8, last, peer.second)
        del peer
  if device == 'cuda':
    peak = torch.cuda.max_memory_allocated() / 1e6
    report.add(what='memory', peak_mb_in_use=round(peak, 1))


def _numbers(compute: str) -> Callable[[Report], None]:
  return lambda report: check_numbers(report, compute)


def _steps(mode: str, compute: str, *layout: str) -> Callable[[Report], None]:
  return lambda report: time_steps(report, mode, compute, *layout)


def _epochs(compute: str) -> Callable[[Report], None]:
  return lambda report: time_epochs(report, compute)


# In the order in which they are worth their time.
PARTS = {
  'numbers': Part(_numbers('float32'), 120),
  'first_float32': Part(_steps('first', 'float32'), 130),
  'first_bfloat16': Part(_steps('first', 'bfloat16'), 110),
  'peer': Part(time_peer, 90, torch=True),
  'epoch_float32': Part(_epochs('float32'), 110, 60),
  'weight_float32': Part(_steps('weight', 'float32'), 70),
  'forward_float32': Part(_steps('forward', 'float32'), 50),
  'second_float32': Part(_steps('second', 'float32'), 150, 60),
  'weight_bfloat16': Part(_steps('weight', 'bfloat16'), 70),
  'forward_bfloat16': Part(_steps('forward', 'bfloat16'), 50),
  'numbers_bfloat16': Part(_numbers('bfloat16'), 100),
  'numbers_of_steps': Part(check_steps, 100),
  'epoch_bfloat16': Part(_epochs('bfloat16'), 110, 60),
  'second_bfloat16': Part(_steps('second', 'bfloat16'), 150, 60),
  'first_loop': Part(_steps('first', 'float32', 'loop'), 200, 60),
  'peer_compiled': Part(
    lambda report: time_peer(report, compile_it=True), 200, 60, torch=True
  ),
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
  # What is compiled shall not come from an earlier run.
  jax.config.update('jax_enable_compilation_cache', False)
  if jax.devices()[0].platform == 'cpu' and not part.torch:
    build_kernels()
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
    out.write_text(json.dumps(found | {'size': _SIZE.value}, indent=1))
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
