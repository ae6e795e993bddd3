"""Whether operations and methods are what they say, before anything runs.

Only shapes are looked at: what a user's own record gets wrong is told in a
sentence that names it, and not by whatever it meets deep inside.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from opp_darts_jax.errors import UserError, first_line
from opp_darts_jax.methods.loss import Task
from opp_darts_jax.methods.method import Draw
from opp_darts_jax.operations.norm import Normalised
from opp_darts_jax.operations.operation import Operation, halved

_SIZE = (6, 5)  # Odd and even, so that strides round.
_COPIES = 3


def check_task(task: Task) -> None:
  """Raises `UserError` if an operation or the method of a search is unfit."""
  config, method = task.config, task.method
  channels = 2 * config.channels  # Reduction cells have twice as many.
  if method.partial is not None:
    channels = method.partial.channels(channels)
  space = task.model.space
  plan = space.skeleton.plan(config.layers, config.channels, False)
  halves = any(part.kind and part.reduction for part in plan)
  for operation in space.operations:
    for stride in (1, 2) if halves else (1,):
      check_operation(operation, channels, stride)
  check_method(task)


def check_operation(operation: Operation, channels: int, stride: int) -> None:
  """Raises `UserError` unless an operation keeps to its record.

  Args:
    operation: it.
    channels: of its input, even.
    stride: 1 or 2.
  """
  what = f'The operation {operation.name!r}, at stride {stride},'
  key = jax.random.key(0)
  counted: list[int] = []

  def norm(measured, i):
    counted.append(i)
    return Normalised.unchanged(measured.x)

  def apply(params, x):
    return operation.apply(params, x, norm, stride, key)

  norms = _called(f'{what} norms', operation.norms, stride)
  copies = _shapes(
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
      f'first axes; got {_described(copies)} for {_COPIES} copies.'
    )
  params = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), copies
  )
  x = jax.ShapeDtypeStruct((2, *_SIZE, channels), jnp.float32)
  y = _shapes(f'{what} apply', apply, params, x)
  expected = (2, *halved(_SIZE, stride), channels)
  if getattr(y, 'shape', None) != expected:
    raise UserError(
      f'{what} must give {expected} of {x.shape}; got {_described(y)}.'
    )
  if sorted(counted) != list(range(norms)):
    raise UserError(
      f'{what} must apply as many norms as its `norms` says, {norms}, numbered '
      f'from 0; it applies the numbers {sorted(counted)}.'
    )


def check_method(task: Task) -> None:
  """Raises `UserError` unless a method gives tables of the right shapes."""
  method, space = task.method, task.space
  what = f'The method {method.name!r}:'
  if method.single_level and task.config.order != 'first':
    raise UserError(
      f"order must be 'first' for {method.name}, whose alphas move down the "
      'loss on D_train with the weights: there is no step of theirs to unroll; '
      f'got {task.config.order!r}.'
    )
  own = (space.graph.num_edges, len(space.operations))
  whole = (own[0], len(task.model.space.operations))
  mask = jax.device_put(space.mask())
  step = jnp.zeros((), jnp.int32)
  key = jax.random.key(0)

  def drawn(function):
    def call(params):
      return function(
        space, params, mask, Draw(key, task.progress(step), task.cells)
      )

    return call

  params = _shapes(f'{what} init', lambda: method.init(key, space))
  _check_tables(f'{what} init', params, task, own, others=True)
  tables = _shapes(f'{what} weights', drawn(method.weights), params)
  _check_tables(f'{what} weights', tables, task, whole, copies=True)
  found = _shapes(
    f'{what} scores', lambda params: method.scores(space, params, mask), params
  )
  _check_tables(f'{what} scores', found, task, own)
  for name in ('val_term', 'train_term'):
    term = _shapes(f'{what} {name}', drawn(getattr(method, name)), params)
    if getattr(term, 'shape', None) != ():
      raise UserError(
        f'{what} {name} must give a number, got {_described(term)}.'
      )


def _check_tables(
  what: str,
  tables: Any,
  task: Task,
  shape: tuple[int, int],
  copies: bool = False,
  others: bool = False,
) -> None:
  """Raises `UserError` unless there is a table for every kind of cell."""
  kinds = task.space.kinds
  fits = isinstance(tables, Mapping) and (
    set(tables) >= set(kinds) if others else set(tables) == set(kinds)
  )
  if fits:
    for kind in kinds:
      got = getattr(tables[kind], 'shape', None)
      apart = copies and got is not None and got == (task.cells[kind], *shape)
      fits = fits and (got == shape or apart)
  if not fits:
    raise UserError(
      f'{what} must give a dict with (edges, operations) = {shape} for each of '
      f'{", ".join(kinds)}; got {_described(tables)}.'
    )


def _shapes(what: str, function: Callable[..., Any], *args: Any) -> Any:
  return _called(what, jax.eval_shape, function, *args)


def _called(what: str, function: Callable[..., Any], *args: Any) -> Any:
  """What a user's function gives; a `UserError` of what it raises."""
  try:
    return function(*args)
  except UserError:
    raise
  except Exception as error:
    raise UserError(
      f'{what} raised {type(error).__name__}: {first_line(error)}.'
    ) from error


def _described(tree: Any) -> str:
  """Shapes, for a message."""
  if isinstance(tree, Mapping):
    pairs = (f'{name}: {_described(value)}' for name, value in tree.items())
    return '{' + ', '.join(pairs) + '}'
  shape = getattr(tree, 'shape', None)
  return type(tree).__name__ if shape is None else str(shape)
