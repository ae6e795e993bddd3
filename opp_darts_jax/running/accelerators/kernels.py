"""What one kernel of a compiled program moves and multiplies."""

import re

from opp_darts_jax.running.accelerators.hlo import (
  Array,
  Computation,
  Instruction,
  Module,
)

# What takes a part of its first operand.
SLICES = ('dynamic-slice', 'slice', 'gather')
# How the names of custom calls begin that are a library's.
LIBRARIES = ('__cu', 'cudnn', 'cublas', 'cusolver', 'cufft', 'cub')
_SCRATCH = ('s8', 'u8')
_NARROW = re.compile(r'(?:bf16|f16|f8\w*|s8|u8)$')


def moved(
  module: Module, own: Computation, one: Instruction
) -> tuple[float, float]:
  """Bytes that a kernel reads, and that it writes; of a slice only the slice's.

  Args:
    module: the program.
    own: computation that the kernel is in.
    one: the kernel.
  """
  operands = [
    own.instructions.get(name) for name in dict.fromkeys(one.operands)
  ]
  given = [i for i in operands if i is not None]
  if one.kind.endswith('-done'):  # The start took what is moved.
    start = given[0] if given else None
    given = [
      i
      for name in (start.operands if start else ())
      if (i := own.instructions.get(name)) is not None
    ]
    whole = sum(array.stored for array in one.arrays)
    slices = one.kind != 'copy-done'
    read = sum(min(_bytes(i), whole) if slices else _bytes(i) for i in given)
    return read, _bytes(one)
  if one.kind == 'fusion':
    return _moved_by_fusion(module, own, one)
  target = one.attribute('custom_call_target')
  written = _bytes(one, scratch=not target.startswith(LIBRARIES))
  if one.kind in SLICES:
    rest = sum(_bytes(i) for i in given[1:])
    return min(_bytes(given[0]), written) + rest if given else 0.0, written
  if one.kind == 'dynamic-update-slice' and len(given) > 1:
    return sum(_bytes(i) for i in given[1:]), _bytes(given[1])
  return sum(_bytes(i) for i in given), written


def _moved_by_fusion(
  module: Module, own: Computation, one: Instruction
) -> tuple[float, float]:
  inner = module.computations[one.attribute('calls')]
  read = 0.0
  for parameter in inner.instructions.values():
    if parameter.kind != 'parameter':
      continue
    place = int(parameter.given)
    if place >= len(one.operands):
      continue
    outer = own.instructions.get(one.operands[place])
    whole = _bytes(outer) if outer else 0.0
    parts = [
      _part(inner, parameter.name, user) for user in inner.users(parameter.name)
    ]
    slices = [part for part in parts if part is not None]
    read += min(whole, sum(slices)) if len(slices) == len(parts) else whole
  result = inner.find(inner.root)
  written = _bytes(one)
  if result is not None and result.kind == 'dynamic-update-slice':
    update = inner.instructions.get(result.operands[1])
    written = min(written, _bytes(update)) if update else written
  return read, written


def _part(inner: Computation, name: str, user: Instruction) -> float | None:
  """Bytes of a parameter that a slice takes; None where all is taken."""
  first = inner.find(user.operands[0]) if user.operands else None
  if first is None or first.name != name:
    return None
  if user.kind in SLICES:
    return _bytes(user)
  return 0.0 if user.kind == 'dynamic-update-slice' else None


def _bytes(one: Instruction, scratch: bool = True) -> float:
  """Of a result; a library's scratch is its parts of bytes, beside others."""
  parts = one.arrays
  if not scratch and len(parts) > 1:
    parts = [array for array in parts if array.dtype not in _SCRATCH]
  return sum(array.bytes for array in parts)


def products(
  module: Module, own: Computation, one: Instruction
) -> tuple[float, float]:
  """Floating-point operations of a kernel's products: of 32 bits, and of fewer.

  Args:
    module: the program.
    own: computation that the kernel is in.
    one: the kernel.
  """
  if one.kind == 'fusion':
    inner = module.computations[one.attribute('calls')]
    found = [products(module, inner, i) for i in inner.instructions.values()]
    return sum(f[0] for f in found), sum(f[1] for f in found)
  if one.kind not in ('dot', 'convolution', 'custom-call'):
    return 0.0, 0.0
  operands = [own.instructions.get(name) for name in one.operands]
  shapes = [i.arrays[0] for i in operands if i is not None and i.arrays]
  if not shapes or not one.arrays:
    return 0.0, 0.0
  done = _operations(one, shapes)
  narrow = bool(_NARROW.match(shapes[0].dtype))
  return (0.0, done) if narrow else (done, 0.0)


def _operations(one: Instruction, shapes: list[Array]) -> float:
  told = re.search(r'"cost_estimate":\{[^}]*"flops":"?(\d+)', one.rest)
  if told:
    return float(told[1])
  labels = re.search(r'dim_labels=\w+_(\w+)->', one.rest)
  if labels and len(shapes) > 1:
    # Every number that the forward pass gives meets all weights of its channel;
    # the two gradients take as many products.
    result, kernel = one.arrays[0], shapes[1]
    target = one.attribute('custom_call_target')
    if 'BackwardInput' in target:
      result = shapes[0]
    elif 'BackwardFilter' in target:
      result, kernel = shapes[1], one.arrays[0]
    channels = kernel.sizes[labels[1].index('o')]
    return 2.0 * result.size * kernel.size / max(channels, 1)
  contracted = re.search(
    r'lhs_contracting_(?:dims=\{|dimensions":\[)([\d,"]*)', one.rest
  )
  if contracted:
    axes = [int(axis) for axis in re.findall(r'\d+', contracted[1])]
    lengths = [shapes[0].sizes[axis] for axis in axes]
    total = 2.0 * one.arrays[0].size
    for length in lengths:
      total *= length
    return total
  return 0.0
