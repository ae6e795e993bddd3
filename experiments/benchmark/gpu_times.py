"""Times of a search and of PyTorch's on this device."""

import collections
import hashlib
import re
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from counted import row_of, text_row
from gpu_numbers import deviation
from gpu_report import Report
from profiles import profiled
from rounds import alternate, chained, repeated
from steps import ENTRY, SIZES, lower_steps, masked, start

from opp_darts_jax import api
from opp_darts_jax.data.dataset import of_arrays
from opp_darts_jax.running.accelerators import compilation, time_model
from opp_darts_jax.running.accelerators.catalogue import ACCELERATORS
from opp_darts_jax.running.devices import Devices

_OPERATIONS = (8, 1, 4, 2)  # The most telling first, should time run out.
_ROUND_S = 0.5
_KERNELS = 20  # That a profile names.


def time_steps(
  report: Report,
  size: str,
  mode: str,
  compute: str,
  layout: str = 'auto',
  constants: str = 'h100',
) -> None:
  """Compiles the steps of a mode, and times them.

  Args:
    report: gets the rows.
    size: of the supernet.
    mode: of the steps.
    compute: of the supernet.
    layout: of the supernet.
    constants: of which accelerator the model takes them for a device that it
      does not know.
  """
  task, initial, train, val = start(size, len(ENTRY), layout, compute)
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
    built = compilation.examine(
      lowering, program, lowered - begin, done - lowered
    )
    row = text_row(built.lowered, built.lower_s) | row_of(
      built, _model(constants)
    )
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
  if jax.devices()[0].platform != 'cpu':
    with report.guard(what='profile'):
      report.add(what='profile', **_profile(run, initial))
  with report.guard(what='memory'):
    report.add(what='memory', **_memory())


def _model(constants: str) -> time_model.Model | None:
  """What the model knows of this device; None on a CPU."""
  device = jax.devices()[0]
  if device.platform == 'cpu':
    return None
  near = [a for a in ACCELERATORS.values() if a.kind == device.device_kind]
  return time_model.model_of(near[0] if near else ACCELERATORS[constants])


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


def _profile(run: Callable[..., Any], state: Any) -> dict[str, Any]:
  """Milliseconds that kernels ran in a step: all of them, and by name.

  Names are without the number that tells kernels of one function apart.
  """
  steps = 3
  state = run(jax.tree.map(jnp.copy, state), 1)
  profile = profiled(lambda: run(state, steps))
  spent: collections.Counter[str] = collections.Counter()
  runs: collections.Counter[str] = collections.Counter()
  for plane in profile.planes:
    if not plane.name.startswith('/device:'):
      continue
    for event in (event for line in plane.lines for event in line.events):
      name = re.sub(r'[_.]*\d*$', '', event.name)
      spent[name] += event.duration_ns / 1e6 / steps
      runs[name] += 1
  return {
    'busy_ms': round(sum(spent.values()), 3),
    'kernels_ms': {
      name: [round(ms, 3), runs[name] // steps]
      for name, ms in spent.most_common(_KERNELS)
    },
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


def time_epochs(report: Report, size: str, compute: str) -> None:
  """A search of whole epochs, by the function that users call."""
  channels, cells, batch = SIZES[size]
  count = 50_000 if size == 'full' else 20 * batch
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


def time_peer(report: Report, size: str, compile_it: bool = False) -> None:
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
  task, initial, train, val = start(size, len(ENTRY), 'loop')

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
