"""Where the time of a supernet's step goes, by kind of operation.

  python experiments/benchmark/profile_supernet.py --size=small --mode=weight

Profiles compiled steps, and sums the time of the compiled program's operations
by what they were in JAX ('mixture' and 'separable' are the C++ kernels), in the
forward pass, the backward pass and the rest. Operations may run beside each
other, so that their sum can exceed the time of the step.
"""

import collections
import re
import time

import jax
from absl import app, flags
from profiles import profiled
from steps import MODES, SIZES, build_steps, start

_SIZE = flags.DEFINE_enum('size', 'small', list(SIZES), 'of the supernet')
_MODE = flags.DEFINE_enum('mode', 'weight', list(MODES), 'what is profiled')
_OPS = flags.DEFINE_integer('ops', 8, 'number of operations', 1, 8)
_LAYOUT = flags.DEFINE_string('layout', 'auto', "how a cell's edges are run")
_METHOD = flags.DEFINE_string('method', 'darts', 'by which is searched')
_STEPS = flags.DEFINE_integer('steps', 3, 'steps profiled', lower_bound=1)
_TOP = flags.DEFINE_integer('top', 25, 'rows printed', lower_bound=1)

# An instruction of a compiled program: name, kind and where it comes from.
_INSTRUCTION = re.compile(
  r'^\s*(?:ROOT )?%?(?P<name>[\w.\-]+) = .*? (?P<kind>[\w\-]+)\('
  r'(?:.*custom_call_target="(?P<target>\w+)")?(?:.*op_name="(?P<op>[^"]*)")?',
  re.MULTILINE,
)
# Their time is that of what they hold.
_CONTAINERS = ('while', 'conditional', 'call')


def kinds(text: str) -> dict[str, tuple[str, str]]:
  """{instruction: (pass, kind of operation)} of a compiled program's text."""
  result = {}
  for match in _INSTRUCTION.finditer(text):
    if match['kind'] in _CONTAINERS:
      continue
    op = match['op'] or ''
    part = (
      'backward'
      if 'transpose(jvp' in op
      else 'forward'
      if 'Supernet' in op
      else 'rest'
    )
    last = op.rsplit('/', 1)[-1] or match['kind']
    result[match['name']] = part, match['target'] or last
  return result


def main(argv: list[str]) -> None:
  """Prints a table of milliseconds a step, largest first."""
  del argv
  task, state, train, val = start(
    _SIZE.value, _OPS.value, _LAYOUT.value, method=_METHOD.value
  )
  compiled = build_steps(_MODE.value, task, state, train, val)
  state = jax.block_until_ready(compiled(state, 1))
  wall = 0.0
  begin = time.perf_counter()

  def run() -> None:
    nonlocal wall
    jax.block_until_ready(compiled(state, _STEPS.value))
    wall = 1e3 * (time.perf_counter() - begin) / _STEPS.value

  profile = profiled(run)
  names = kinds(compiled.as_text())
  times: collections.Counter[tuple[str, str]] = collections.Counter()
  counts: collections.Counter[tuple[str, str]] = collections.Counter()
  for plane in profile.planes:
    for line in plane.lines:
      for event in line.events:
        if event.name in names:
          times[names[event.name]] += event.duration_ns / 1e6
          counts[names[event.name]] += 1
  total = sum(times.values()) / _STEPS.value
  print(f'{wall:.1f} ms a step, operations {total:.1f} ms')
  print(f'{"ms":>9} {"share":>6} {"runs":>6}  pass      operation')
  for key, value in times.most_common(_TOP.value):
    ms = value / _STEPS.value
    runs = counts[key] // _STEPS.value
    print(f'{ms:9.2f} {ms / total:6.1%} {runs:6d}  {key[0]:9} {key[1]}')


if __name__ == '__main__':
  app.run(main)
