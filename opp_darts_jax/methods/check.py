"""Whether operations and methods are what they say, before anything runs.

Hardly more than shapes is looked at: what a user's own record gets wrong is
told in a sentence that names it, and not by whatever it meets deep inside.
"""

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from opp_darts_jax.errors import UserError, check_type, takes
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.halves import init_state
from opp_darts_jax.methods.loss import Task
from opp_darts_jax.methods.mask_checks import check_masked
from opp_darts_jax.methods.method import Draw, Gradients, Method
from opp_darts_jax.methods.operation_checks import check_operation
from opp_darts_jax.methods.shape_checks import (
  mismatch,
  shape_text,
  shapes,
)
from opp_darts_jax.methods.state import Pass, SearchState
from opp_darts_jax.supernet.edges import phases
from opp_darts_jax.supernet.partial import PartialChannels

_IMAGE = (32, 32, 3)  # Any will do.


@memoized(8)
def check_task(task: Task) -> None:
  """Raises `UserError` if an operation or the method of a search is unfit."""
  config, method = task.config, task.method
  channels = 2 * config.channels  # Reduction cells have twice as many.
  if method.partial is not None:
    channels = method.partial.channels(channels)
  space = task.model.space
  plan = space.skeleton.plan(config.layers, config.channels, False)
  halves = any(part.kind and part.reduction for part in plan)
  strides = (1, 2) if halves else (1,)
  together = halves and len(phases(space.graph, reduction=True)) > 1
  for operation in space.operations:
    check_operation(operation, channels, strides, together)
  check_method(task)


def check_hooks(method: Method) -> None:
  """Raises `UserError` unless all that a method is to call can be called."""
  what = f'partial of the method {method.name!r}'
  check_type(what, method.partial, PartialChannels, type(None))
  for name, hint in Method.__annotations__.items():
    kinds = typing.get_args(hint)
    if typing.get_origin(hint) is Callable:
      kinds = (hint,)
    if not any(typing.get_origin(kind) is Callable for kind in kinds):
      continue
    hook = getattr(method, name)
    if not callable(hook) and not (hook is None and type(None) in kinds):
      raise UserError(
        f'The method {method.name!r}: {name} must be a function, see '
        f'methods/method.py; got {shape_text(hook)}.'
      )
    count = _arguments(kinds[0])
    if hook is not None and count is not None and not takes(hook, count):
      raise UserError(
        f'The method {method.name!r}: {name} must be a function of {count} '
        'arguments, see methods/method.py; got one of '
        f'{inspect.signature(hook)}.'
      )


def _arguments(hint: Any) -> int | None:
  """How many a function of a type takes; None if that is not said."""
  arguments = typing.get_args(hint)[0]
  return None if arguments is ... else len(arguments)


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
  own = space.table_shape
  whole = (own[0], len(task.model.space.operations))
  mask = jax.device_put(space.mask())
  progress = task.progress(jnp.zeros((), jnp.int32))
  key = jax.random.key(0)

  def drawn(function):
    def call(params, kept):
      draw = Draw(key, progress, task.cells, kept)
      return function(space, params, mask, draw)

    return call

  params = shapes(f'{what} init', lambda: method.init(key, space))
  _check_tables(f'{what} init', params, task, own, others=True)
  kinds = {leaf.dtype for leaf in jax.tree.leaves(params)}
  others = {kind for kind in kinds if not jnp.issubdtype(kind, jnp.floating)}
  if others:
    raise UserError(
      f'{what} init must give floating numbers, of which losses have '
      f'gradients; got {", ".join(sorted(map(str, others)))}.'
    )
  supernet = _supernet_state(task)
  kept = None
  if supernet is not None:
    kept = shapes(
      f'{what} init_own',
      lambda weights: method.init_own(space, weights),
      supernet.weights,
    )
  tables = shapes(f'{what} weights', drawn(method.weights), params, kept)
  _check_tables(f'{what} weights', tables, task, whole, copies=True)
  check_masked(task, params, supernet)
  found = shapes(
    f'{what} scores', lambda params: method.scores(space, params, mask), params
  )
  _check_tables(f'{what} scores', found, task, own)
  for name in ('val_term', 'train_term'):
    term = shapes(f'{what} {name}', drawn(getattr(method, name)), params, kept)
    if getattr(term, 'shape', None) != ():
      raise UserError(
        f'{what} {name} must give a number, got {shape_text(term)}.'
      )
  trained = shapes(f'{what} trained', method.trained, params, mask)
  _check_truths(f'{what} trained', trained, params, 'parameters')
  if method.trains_alphas is not None:
    begun = shapes(f'{what} trains_alphas', method.trains_alphas, progress)
    if mismatch(begun, progress.step) or begun.dtype != bool:
      raise UserError(
        f'{what} trains_alphas must give one truth value, bool (); got '
        f'{getattr(begun, "dtype", "")} {shape_text(begun)}.'
      )
  if supernet is not None:
    _check_weight_step(task, supernet.replace(alphas=params, own=kept))


def _check_weight_step(task: Task, state: SearchState) -> None:
  """Raises `UserError` unless what a method says of a weight step fits.

  Args:
    task: of its search.
    state: of shapes.
  """
  method = task.method
  what = f'The method {method.name!r}:'
  if method.moves is not None:
    moving = shapes(f'{what} moves', method.moves, state.own, state.weights)
    _check_truths(f'{what} moves', moving, state.weights, 'weights')
  if method.weight_gradient is None:
    return

  def call(state):
    assert method.weight_gradient is not None
    draw = task.draw(state, jax.random.key(0))
    loss = jnp.zeros(())
    passed = (loss, Pass(state.batch_stats, loss, loss)), state.weights
    gradients = Gradients(
      weights=lambda tables: passed,
      tables=lambda tables: tables,
      evaluated=lambda tables: (loss, tables),
      validation=lambda tables: state.weights,
    )
    tables = task.tables(state.alphas, state.mask, draw)
    (_, found), grads, kept = method.weight_gradient(
      gradients, tables, state.own, draw
    )
    return found.batch_stats, grads, kept

  given = shapes(f'{what} weight_gradient', call, state)
  wanted = state.batch_stats, state.weights, state.own
  names = 'running averages', 'gradient for the weights', 'what is kept'
  for name, got, like in zip(names, given, wanted):
    wrong = mismatch(got, like)
    if wrong:
      raise UserError(
        f'{what} weight_gradient must give {name} of the shapes that there '
        f'are; got {wrong}.'
      )


def _supernet_state(task: Task) -> SearchState | None:
  """Shapes of weights and running averages, where a method asks for them."""
  method = task.method
  nothing = Method._field_defaults['init_own']
  if (
    method.init_own is nothing
    and method.moves is None
    and method.weight_gradient is None
  ):
    return None
  bare = dataclasses.replace(task, method=method._replace(init_own=nothing))
  mask = jax.device_put(task.space.mask())
  return jax.eval_shape(
    lambda: init_state(bare, jax.random.key(0), _IMAGE, mask)
  )


def _check_truths(what: str, truths: Any, like: Any, name: str) -> None:
  """Raises `UserError` unless these are truth values for each of `like`."""
  wrong = mismatch(truths, like, broadcast=True)
  kinds = {leaf.dtype for leaf in jax.tree.leaves(truths)}
  if not wrong and kinds - {jnp.dtype(bool)}:
    wrong = ', '.join(sorted(map(str, kinds)))
  if wrong:
    raise UserError(
      f'{what} must give truth values of the structure of the {name}; got '
      f'{wrong}.'
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
      f'{", ".join(kinds)}; got {shape_text(tables)}.'
    )
