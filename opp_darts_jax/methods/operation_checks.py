"""Whether operations keep to their records, before anything runs.

Hardly more than shapes is looked at, as in check.py.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from opp_darts_jax.errors import UserError
from opp_darts_jax.methods.shape_checks import (
  called,
  mismatch,
  shape_text,
  shapes,
)
from opp_darts_jax.operations.norm import Normalised
from opp_darts_jax.operations.operation import Operation, halved
from opp_darts_jax.recorded import is_scalar

_SIZE = (6, 5)  # Odd and even, so that strides round.
_COPIES = 3


def check_operation(
  operation: Operation, channels: int, strides: Sequence[int], together: bool
) -> None:
  """Raises `UserError` unless an operation keeps to its record.

  Args:
    operation: it.
    channels: of its input, even.
    strides: of its edges, ascending.
    together: whether one cell has edges of all these strides.
  """
  copies = {
    stride: _weights_at(operation, channels, stride) for stride in strides
  }
  if together:
    _check_together(operation, copies)
  for stride in strides:
    # Networks count what it is there, `snas` what it is in the supernet.
    for own in (operation, operation.in_network):
      _check_multiply_adds(own, channels, stride)


def _weights_at(operation: Operation, channels: int, stride: int) -> Any:
  """Shapes of the weights of some copies at a stride; checks what they do."""
  what = f'The operation {operation.name!r}, at stride {stride},'
  norms = called(f'{what} norms', operation.norms, stride)
  key = jax.random.key(0)
  copies = shapes(
    f'{what} init', lambda: operation.init(key, (_COPIES,), channels, stride)
  )
  wrong = [
    jax.tree_util.keystr(path)
    for path, leaf in jax.tree.leaves_with_path(copies)
    if leaf.shape[:1] != (_COPIES,)
  ]
  if not isinstance(copies, dict) or wrong:
    raise UserError(
      f'{what} must have weights as a dict of arrays with the copies on their '
      f'first axes; got {shape_text(copies)} for {_COPIES} copies.'
    )
  shared = called(f'{what} shared', operation.shared, stride)
  if shared and (copies or operation.random):
    raise UserError(
      f'{what} must have neither weights nor randomness to be shared by all '
      f'edges of a node; got the weights {shape_text(copies)} and '
      f'random={operation.random!r}.'
    )
  y, counted = _applied(operation, copies, channels, stride)
  x = (2, *_SIZE, channels)
  expected = (2, *halved(_SIZE, stride), channels)
  if getattr(y, 'shape', None) != expected:
    raise UserError(f'{what} must give {expected} of {x}; got {shape_text(y)}.')
  if counted != list(range(norms)):
    raise UserError(
      f'{what} must apply as many norms as its `norms` says, {norms}, numbered '
      f'from 0 as they follow each other; it applies the numbers {counted}.'
    )
  return copies


def _check_multiply_adds(
  operation: Operation, channels: int, stride: int
) -> None:
  """Raises `UserError` unless an operation says how many it takes."""
  what = f'The operation {operation.name!r}, at stride {stride},'
  count = called(
    f'{what} multiply_adds', operation.multiply_adds, channels, stride, _SIZE
  )
  if not is_scalar(count):
    raise UserError(
      f'{what} must give a number as its multiply_adds of one image; got '
      f'{count!r}.'
    )


def _applied(
  operation: Operation, copies: Any, channels: int, stride: int
) -> tuple[Any, list[int]]:
  """The shape of what it gives, and the numbers of the norms it applies."""
  what = f'The operation {operation.name!r}, at stride {stride},'
  counted: list[int] = []

  def norm(measured, i):
    counted.append(i)
    return Normalised.unchanged(measured.x)

  params = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), copies
  )
  x = jax.ShapeDtypeStruct((2, *_SIZE, channels), jnp.float32)

  def output(key):
    return shapes(
      f'{what} apply',
      lambda params, x: operation.apply(params, x, norm, stride, key),
      params,
      x,
    )

  key = jax.random.key(0)
  if operation.random:
    return output(key), counted
  try:
    return output(None), counted
  except UserError as error:
    output(key)  # Raises what has nothing to do with the key.
    raise UserError(
      f'{what} must say random=True to get a key that it draws from; without '
      'it, apply gets None.'
    ) from error


def _check_together(operation: Operation, copies: dict[int, Any]) -> None:
  """Raises `UserError` if a cell cannot stack what edges of each stride have.

  Args:
    operation: it.
    copies: shapes of the weights by stride, ascending.
  """
  strides = ' and '.join(map(str, copies))
  what = f'The operation {operation.name!r}, in a cell of strides {strides},'
  norms = {stride: operation.norms(stride) for stride in copies}
  if len(set(norms.values()) - {0}) > 1:
    raise UserError(
      f'{what} must apply as many norms at each stride at which it applies '
      f'any; got {" and ".join(map(str, norms.values()))}.'
    )
  # A cell has weights as the largest stride of those with any says.
  own = [found for s, found in copies.items() if not operation.shared(s)]
  for fewer in own[:-1]:
    common = {name: own[-1].get(name) for name in fewer}
    if mismatch(common, fewer):
      raise UserError(
        f'{what} must have all weights of the first at the second too, of the '
        f'same shapes; got {shape_text(fewer)} and {shape_text(own[-1])}.'
      )
