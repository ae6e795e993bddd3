"""The text of a compiled program, taken apart.

XLA's own record of a program, `compiled.as_text()`, is the same for all
platforms; for those that are not there it is the only one.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Array(NamedTuple):
  """An array as a shape's text has it.

  Attributes:
    dtype: such as 'f32'.
    sizes: of its axes.
    stored: bytes that it takes, those that fill up the tiles of a TPU too.
    on_chip: whether it lies on a TPU's chip, not in its memory.
  """

  dtype: str
  sizes: tuple[int, ...]
  stored: float
  on_chip: bool = False

  @property
  def bytes(self) -> float:
    """That it takes in the device's memory."""
    return 0.0 if self.on_chip else self.stored

  @property
  def size(self) -> int:
    """How many numbers it has."""
    return math.prod(self.sizes)


class Instruction(NamedTuple):
  """A line of a computation.

  Attributes:
    name: in its computation.
    shape: of its result, as text.
    kind: such as 'fusion'.
    given: what stands in its brackets, as text: operands, the number of a
      parameter, or the value of a constant.
    operands: the names among it.
    rest: its attributes, as text.
  """

  name: str
  shape: str
  kind: str
  given: str
  operands: tuple[str, ...]
  rest: str

  @property
  def arrays(self) -> list[Array]:
    """Of its result: one, or those of a tuple."""
    return list(arrays(self.shape))

  def attribute(self, name: str) -> str:
    """The value of an attribute that is a word, or a list in braces; or ''."""
    found = re.search(
      rf'\b{name}=(\{{[^}}]*\}}|%?[\w.\-$]+|"[^"]*")', self.rest
    )
    return found[1].strip('%"') if found else ''


class Computation(NamedTuple):
  """Instructions by name, in order, and which of them is the result."""

  instructions: Mapping[str, Instruction]
  root: str

  def find(self, name: str) -> Instruction | None:
    """An instruction, or where a bitcast takes its name from."""
    found = self.instructions.get(name)
    while found and found.kind == 'bitcast' and found.operands:
      found = self.instructions.get(found.operands[0])
    return found

  def users(self, name: str) -> list[Instruction]:
    """The instructions that take a value, also through bitcasts."""
    used = []
    for one in self.instructions.values():
      if name in one.operands:
        used += self.users(one.name) if one.kind == 'bitcast' else [one]
    return used


class Module(NamedTuple):
  """The computations of a program by name, and that which it begins with."""

  computations: Mapping[str, Computation]
  entry: str


_HEADER = re.compile(r'^(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{\s*$')
_START = re.compile(r'^\s+(ROOT )?%?([\w.\-]+) = ')
# The first word before a bracket: shapes have capital letters there, T(8,128).
_KIND = re.compile(r' ([a-z][a-z0-9\-]*)\(')
_BRACKET = re.compile(r'[()]')
_NAME = re.compile(r'%([\w.\-]+)')
_ARRAY = re.compile(r'\b([a-z]+\d*\w*)\[([\d,<=]*)\](?:\{([^}]*)\})?')
_TILE = re.compile(r'T\((\d+)(?:,(\d+))?\)')
_ON_CHIP = re.compile(r'S\([1-9]\)')
_BITS = re.compile(r'[a-z]+(\d*).*')


def parse(text: str) -> Module:
  """Takes the text of a compiled program apart."""
  computations: dict[str, Computation] = {}
  entry = ''
  own: dict[str, Instruction] = {}
  name = root = ''
  for line in text.splitlines():
    if header := _HEADER.match(line):
      name, own, root = header[2], {}, ''
      entry = name if header[1] else entry
    elif name and line.startswith('}'):
      computations[name] = Computation(own, root)
      name = ''
    elif name and (start := _START.match(line)):
      own[start[2]] = _instruction(start[2], line[start.end() - 1 :])
      root = start[2] if start[1] else root
  return Module(computations, entry)


def _instruction(name: str, text: str) -> Instruction:
  kind = _KIND.search(text)
  if kind is None:
    return Instruction(name, text, '', '', (), '')
  end = _closing(text, kind.end())
  given = text[kind.end() : end]
  operands = tuple(_NAME.findall(given))
  shape = text[: kind.start()].strip()
  return Instruction(name, shape, kind[1], given, operands, text[end + 1 :])


def _closing(text: str, start: int) -> int:
  """Where the bracket closes that has opened before `start`."""
  depth = 1
  for found in _BRACKET.finditer(text, start):
    depth += 1 if found[0] == '(' else -1
    if not depth:
      return found.start()
  return len(text)


def arrays(shape: str) -> Iterator[Array]:
  """The arrays of a shape, in order."""
  for dtype, sizes, layout in _ARRAY.findall(shape):
    if dtype in ('token', 'opaque'):
      continue
    axes = tuple(int(size.strip('<=')) for size in sizes.split(',') if size)
    bits = 8 if dtype == 'pred' else int(_BITS.sub(r'\1', dtype) or 0)
    on_chip = bool(_TILE.search(layout) and _ON_CHIP.search(layout))
    yield Array(dtype, axes, _stored(axes, layout) * bits / 8, on_chip)


def _stored(sizes: tuple[int, ...], layout: str) -> int:
  """How many numbers are kept of an array: tiles fill up the last axes."""
  tile = _TILE.search(layout)
  if tile is None:
    return math.prod(sizes)
  order = [int(axis) for axis in layout.split(':')[0].split(',') if axis]
  padded = [sizes[axis] for axis in order]
  tiles = [int(size) for size in reversed(tile.groups()) if size]
  for axis, size in enumerate(tiles[: len(padded)]):
    padded[axis] = -(-padded[axis] // size) * size
  return math.prod(padded)
