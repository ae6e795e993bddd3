"""What a program launches, reads, writes and multiplies: counts of its text."""

import re
import types
from collections.abc import Mapping
from typing import NamedTuple, Self

from opp_darts_jax.running.accelerators import hlo
from opp_darts_jax.running.accelerators.hlo import (
  Computation,
  Instruction,
  Module,
)
from opp_darts_jax.running.accelerators.kernels import (
  LIBRARIES,
  SLICES,
  moved,
  products,
)


class Counts(NamedTuple):
  """Of a run of a program: a loop as often as it turns, its dearest branches.

  Attributes:
    library_calls: of cuBLAS, cuDNN and their like.
    fusions: kernels that the compiler made.
    copies: kernels that copy.
    transposes: kernels that transpose.
    custom_kernels: of Pallas: Triton on GPUs, Mosaic on TPUs.
    collectives: between devices; those of three kinds are counted below, too.
    others: kernels of a single instruction.
    conditionals: that decide which kernels run.
    async_copies: between a TPU's memory and its chip, beside the kernels.
    read: bytes.
    written: bytes.
    operations: of floating point, in products of float32 or wider: two for
      each multiplication. Those in custom kernels count where a kernel tells.
    operations_16: the same, of types of 16 bits or fewer.
    all_reduces: collectives that sum.
    all_gathers: collectives that put together.
    reduce_scatters: collectives that sum, and leave each device a part.
    exchanged: bytes of what collectives give, or take if that is more.
  """

  library_calls: float = 0
  fusions: float = 0
  copies: float = 0
  transposes: float = 0
  custom_kernels: float = 0
  collectives: float = 0
  others: float = 0
  conditionals: float = 0
  async_copies: float = 0
  read: float = 0
  written: float = 0
  operations: float = 0
  operations_16: float = 0
  all_reduces: float = 0
  all_gathers: float = 0
  reduce_scatters: float = 0
  exchanged: float = 0

  @property
  def kernels(self) -> float:
    """All kinds of them."""
    return sum(self[:7])

  @property
  def moved(self) -> float:
    """Bytes read and written."""
    return self.read + self.written

  def plus(self, other: Self, times: float = 1) -> 'Counts':
    """With another's, as often as it runs."""
    return Counts(*(a + times * b for a, b in zip(self, other)))


class Lowered(NamedTuple):
  """Of a program's StableHLO: lines, conditions and scatters in the text."""

  lines: int
  conditions: int
  scatters: int


_FREE = (
  'parameter',
  'constant',
  'tuple',
  'get-tuple-element',
  'bitcast',
  'after-all',
  'iota',
  'add-dependency',
  'opt-barrier',
  'partition-id',
  'replica-id',
  'domain',
)
_FREE_CALLS = (
  'AllocateBuffer',
  'AssumeGatherIndices',
  'ConcatBitcast',
  'GatherScatterIndices',
  'Sharding',
)
_KERNELS = ('triton', 'tpu_custom_call', 'mosaic')
_COLLECTIVES = ('all-', 'reduce-scatter', 'collective-', 'send', 'recv')
_MEETINGS: Mapping[str, str] = types.MappingProxyType(
  {
    'all-reduce': 'all_reduces',
    'all-gather': 'all_gathers',
    'reduce-scatter': 'reduce_scatters',
  }
)


def count_lowered(text: str) -> Lowered:
  """Counts in the StableHLO of a program."""
  return Lowered(
    text.count('\n'),
    len(re.findall(r'\bstablehlo\.(?:case|if)\b', text)),
    len(re.findall(r'(?<!#)\bstablehlo\.scatter\b', text)),
  )


def count(text: str, turns: int = 1) -> Counts:
  """Counts in the text of a compiled program.

  Args:
    text: `compiled.as_text()`.
    turns: of a loop that does not tell how many it has. One such loop, over the
      steps, is usual: then the counts are of one step, and of what a call does
      once. Such a loop within another, as of a sampler that draws again what
      it rejects, counts as one turn.
  """
  module = hlo.parse(text)
  return _of_computation(module, module.entry, turns)


def _of_computation(module: Module, name: str, turns: int) -> Counts:
  total = Counts()
  own = module.computations[name]
  for one in own.instructions.values():
    if one.kind == 'while':
      body = _of_computation(module, one.attribute('body'), turns=1)
      total = total.plus(body, _trips(module, one, turns))
    elif one.kind == 'conditional':
      branches = [_of_computation(module, b, turns) for b in _branches(one)]
      dearest = max(branches, key=lambda c: (c.kernels, c.moved))
      total = total.plus(dearest).plus(Counts(conditionals=1))
    elif one.kind == 'call':
      called = one.attribute('to_apply')
      total = total.plus(_of_computation(module, called, turns))
    elif one.kind == 'async-start' and not _wraps_copy(module, one):
      called = one.attribute('calls')
      total = total.plus(_of_computation(module, called, turns))
    elif one.kind == 'async-done':
      start = own.find(one.operands[0])
      if start is not None and _wraps_copy(module, start):
        total = total.plus(_of_kernel(module, own, one))
    elif not _is_free(one):
      total = total.plus(_of_kernel(module, own, one))
  return total


def _is_free(one: Instruction) -> bool:
  if one.kind in _FREE or one.kind.endswith(('-start', '-update')):
    return True
  if not one.kind:
    return True
  if one.kind == 'custom-call':
    return one.attribute('custom_call_target').startswith(_FREE_CALLS)
  # A TPU's own processor of scalars does such beside the kernels.
  scalar = all(not array.sizes for array in one.arrays)
  return scalar and 'T(' in one.shape and one.kind not in ('fusion', 'reduce')


def _wraps_copy(module: Module, one: Instruction) -> bool:
  """Whether what runs beside the kernels only moves numbers."""
  called = module.computations.get(one.attribute('calls'))
  kinds = {i.kind for i in called.instructions.values()} if called else set()
  return kinds <= {*_FREE, *SLICES, 'copy', 'dynamic-update-slice'}


def _branches(one: Instruction) -> list[str]:
  listed = one.attribute('branch_computations')
  if listed:
    return [name.strip(' %') for name in listed.strip('{}').split(',')]
  return [one.attribute(f'{which}_computation') for which in ('true', 'false')]


def _trips(module: Module, loop: Instruction, turns: int) -> int:
  """How often a loop turns.

  Where it is not written down, as for TPUs, its condition may say that a count
  from 0 stays below a constant.
  """
  known = re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.rest)
  if known:
    return int(known[1])
  condition = module.computations[loop.attribute('condition')]
  inside = [*condition.instructions.values()]
  last = condition.instructions[condition.root]
  if last.kind == 'fusion':
    called = module.computations[last.attribute('calls')]
    inside += called.instructions.values()
    last = called.instructions[called.root]
  limits = [
    int(i.given) for i in inside if i.kind == 'constant' and i.given.isdigit()
  ]
  # The comparison alone: of several, the others may end the loop before.
  below = last.kind == 'compare' and last.attribute('direction') == 'LT'
  return limits[0] if below and len(limits) == 1 else turns


def _of_kernel(module: Module, own: Computation, one: Instruction) -> Counts:
  read, written = moved(module, own, one)
  wide, narrow = products(module, own, one)
  field = _category(module, one)
  counted = Counts(
    read=read, written=written, operations=wide, operations_16=narrow
  )
  if field == 'collectives':
    counted = counted._replace(exchanged=max(read, written))
    kind = one.kind.removesuffix('-done')
    if kind in _MEETINGS:
      counted = counted._replace(**{_MEETINGS[kind]: 1})
  return counted._replace(**{field: 1})


def _category(module: Module, one: Instruction) -> str:
  """The field of `Counts` for a kernel."""
  kind = one.kind
  if kind == 'custom-call':
    target = one.attribute('custom_call_target')
    if any(word in target for word in _KERNELS):
      return 'custom_kernels'
    library = target.startswith(LIBRARIES)
    return 'library_calls' if library else 'others'
  if kind.startswith(_COLLECTIVES):
    return 'collectives'
  if kind.endswith('-done'):
    return 'async_copies'
  root = kind
  if kind == 'fusion':
    if '"__cudnn$fusion"' in one.rest:
      return 'library_calls'
    called = module.computations[one.attribute('calls')]
    result = called.find(called.root)
    root = result.kind if result else ''
  if 'transpose' in (root, kind) or 'transpose' in one.name:
    return 'transposes'
  if kind == 'copy' or one.name.startswith(('copy', 'wrapped_copy')):
    return 'copies'
  return 'fusions' if kind == 'fusion' else 'others'
