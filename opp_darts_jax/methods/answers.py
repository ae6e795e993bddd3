"""What a method answers between steps, looked at as soon as it comes.

Whoever asks a method that a user may have written asks here: what it gives of
another kind, or raises, is told in a sentence that names the function.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import jax

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import (
  UserError,
  check_choice,
  check_type,
  described,
  file_of,
  is_users,
  telling,
)
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods.method import Method
from opp_darts_jax.methods.stages import Change, Search, Stage
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.recorded import check_numbers, is_scalar, is_taken


def changed(
  method: Method,
  search: Search,
  state: SearchState,
  epoch: int,
  stages: Sequence[Stage],
) -> Change:
  """What `begin_epoch` gives.

  Raises:
    UserError: unless it is a `Change`, with a state and a stage, or none.
  """
  what = _what(method, 'begin_epoch')
  with _told_of(method, 'begin_epoch'):
    change = method.begin_epoch(search, state, epoch, stages)
  check_type(what, change, Change)
  check_type(f'the stage in {what}', change.stage, Stage, type(None))
  if change.stage is None:
    return change
  check_numbers(f'the losses of the stage in {what}', change.stage.losses)
  # Python's own, as a checkpoint keeps them.
  losses = {name: float(loss) for name, loss in change.stage.losses.items()}
  return change._replace(stage=change.stage._replace(losses=losses))


def begun(
  method: Method,
  search: Search,
  state: SearchState,
  epoch: int,
  stages: Sequence[Stage],
) -> Change:
  """What `begin_epoch` gives, for the search itself to go on with.

  Raises:
    UserError: unless it is a `Change` to a state with any operation, by a stage
      of operations of the space.
  """
  what = _what(method, 'begin_epoch')
  change = changed(method, search, state, epoch, stages)
  check_type(f'the state in {what}', change.state, SearchState)
  for name in change.stage.entered if change.stage else ():
    check_choice(f'operation in the stage in {what}:', name, search.space.names)
  masks = jax.device_get(change.state.mask).values()
  # Not one into every node: an early stage may have none for some of them.
  if not change.stop and not any(mask_EK.any() for mask_EK in masks):
    raise UserError(
      f'Expected at least one active operation in {what} for epoch {epoch}, or '
      'stop=True; got a mask without any: operations enter by it '
      '(methods/growth.py).'
    )
  return change


def derived(method: Method, search: Search, state: SearchState) -> Genotype:
  """What `derive` gives; a `UserError` unless it is a `Genotype`."""
  with _told_of(method, 'derive'):
    found = method.derive(method, search, state)
  check_type(_what(method, 'derive'), found, Genotype)
  return found


def told(
  method: Method, search: Search, state: SearchState, found: Genotype
) -> Mapping[str, float]:
  """What `numbers` gives.

  Raises:
    UserError: unless it is numbers by name, of names that a search has not.
  """
  what = _what(method, 'numbers')
  with _told_of(method, 'numbers'):
    numbers = method.numbers(search, state, found)
  check_numbers(what, numbers)
  taken = [name for name in numbers if is_taken(name)]
  if taken:
    raise UserError(
      f'Expected other names in {what} than what a search records without it: '
      f'{", ".join(taken)}.'
    )
  return numbers


def rate(
  method: Method, config: SearchConfig, epoch: int, starts: Sequence[int]
) -> float:
  """What `learning_rate` gives; a `UserError` unless it is a number."""
  with _told_of(method, 'learning_rate'):
    found = method.learning_rate(config, epoch, starts)
  if not is_scalar(found):
    what = _what(method, 'learning_rate')
    raise UserError(f'Expected {what} as a number, got {described(found)}.')
  return found


@contextlib.contextmanager
def _told_of(method: Method, hook: str) -> Iterator[None]:
  """Makes a sentence of what a user's own hook raises."""
  function = getattr(method, hook)
  if not is_users(function):
    yield
    return
  path = file_of(function)
  where = f', in {path},' if path else ''
  sentence = f'{hook} of the method {method.name!r}{where} failed'
  # What a device has no memory for is told elsewhere.
  with telling(sentence, path, but=(jax.errors.JaxRuntimeError,)):
    yield


def _what(method: Method, hook: str) -> str:
  return f'what {hook} of the method {method.name!r} gives'
