"""Compares the layouts of a cell's edges by what their programs would launch.

  python experiments/benchmark/layouts.py --size=small --mode=weight

Counts, in the compiled HLO of a step, the instructions that are kernels and the
bytes that they read and write: a loop's as often as it runs, a condition's as
its dearest branch. On a GPU each is a launch: their number decides where
kernels are small. On CPU, where this also runs, both layouts are traced as for
TPU: with the library's depthwise convolutions, without the C++ kernels.
"""

import math
import os
import re
from typing import NamedTuple

# No compiler: the program is to be what a machine without the kernels has.
os.environ['CXX'] = 'none'

from absl import app, flags
from steps import MODES, SIZES, build_steps, start

from opp_darts_jax.config.search import LAYOUTS
from opp_darts_jax.operations.target import Target, traced_for

_SIZE = flags.DEFINE_enum('size', 'small', list(SIZES), 'of the supernet')
_MODE = flags.DEFINE_enum('mode', 'weight', list(MODES), 'what a step does')

_COMPUTATION = re.compile(r'^(?:ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{$')
_INSTRUCTION = re.compile(
  r'^\s*(?:ROOT )?%?(?P<name>[\w.\-]+) = (?P<shape>.*?) (?P<kind>[\w\-]+)\('
  r'(?P<args>[^)]*)\)(?P<rest>.*)$'
)
_CALLED = re.compile(
  r'(?:body|to_apply|branch_computations|true_computation|false_computation)='
  r'(\{[^}]*\}|%?[\w.\-]+)'
)
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_ARRAY = re.compile(r'([a-z]+)(\d*)\[([\d,]*)\]')
_FREE = [
  'parameter',
  'constant',
  'tuple',
  'get-tuple-element',
  'bitcast',
  'after-all',
  'iota',
]


class Cost(NamedTuple):
  """Kernels, and megabytes that they read and write."""

  kernels: float
  mb: float

  def __add__(self, other: 'Cost') -> 'Cost':  # type: ignore[override]
    return Cost(self.kernels + other.kernels, self.mb + other.mb)

  def times(self, count: int) -> 'Cost':
    """The same, `count` times."""
    return Cost(self.kernels * count, self.mb * count)


def megabytes(shape: str) -> float:
  """Of all the arrays in the text of a shape."""
  total = 0.0
  for _, bits, sizes in _ARRAY.findall(shape):
    count = math.prod(map(int, sizes.split(','))) if sizes else 1
    total += count * int(bits or 8) / 8e6
  return total


def cost(text: str) -> Cost:
  """What a run of a compiled program's text takes."""
  computations: dict[str, list[re.Match[str]]] = {}
  entry = name = ''
  for line in text.splitlines():
    if header := _COMPUTATION.match(line):
      name = header[1]
      computations[name] = []
      if line.startswith('ENTRY'):
        entry = name
    elif name and (instruction := _INSTRUCTION.match(line)):
      computations[name].append(instruction)

  def run(name: str) -> Cost:
    shapes = {i['name']: megabytes(i['shape']) for i in computations[name]}
    total = Cost(0, 0)
    for i in computations[name]:
      called = [
        run(callee.strip().lstrip('%'))
        for callees in _CALLED.findall(i['rest'])
        for callee in callees.strip('{}').split(',')
      ]
      if i['kind'] == 'while':
        trips = _TRIPS.search(i['rest'])
        # The loop over steps alone has no known length: one step is counted.
        total += called[0].times(int(trips[1]) if trips else 1)
      elif i['kind'] == 'conditional':
        total += max(called)
      elif i['kind'] == 'call':
        total += called[0]
      elif i['kind'] not in _FREE:
        read = [
          shapes.get(a.strip().split(' ')[-1].lstrip('%'), 0)
          for a in i['args'].split(',')
        ]
        written = shapes[i['name']]
        # A slice of a stack is all that is read, or written, of it.
        if 'dynamic-update-slice' in i['name'] and written in read:
          read.remove(written)
          written = min(written, sum(read))
        elif 'dynamic-slice' in i['name']:
          read = [min(mb, written) for mb in read]
        total += Cost(1, sum(read) + written)
    return total

  return run(entry)


def main(argv: list[str]) -> None:
  """Prints a row a layout."""
  del argv
  print(f'{"layout":8} {"kernels":>9} {"GB":>8}')
  for layout in LAYOUTS[1:]:
    with traced_for(Target('tpu')):
      task, state, train, val = start(_SIZE.value, 8, layout)
      compiled = build_steps(_MODE.value, task, state, train, val)
    kernels, mb = cost(compiled.as_text())
    print(f'{layout:8} {kernels:9,.0f} {mb / 1e3:8.2f}', flush=True)


if __name__ == '__main__':
  app.run(main)
