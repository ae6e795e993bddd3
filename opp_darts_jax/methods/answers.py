"""What a method answers between steps, looked at as soon as it comes.

Whoever asks a method that a user may have written asks here: what it gives of
another kind is told in a sentence that names the function.
"""

from collections.abc import Sequence

import jax

from opp_darts_jax.errors import UserError, check_choice, check_type
from opp_darts_jax.methods.method import Method
from opp_darts_jax.methods.stages import Change, Search, Stage
from opp_darts_jax.methods.state import SearchState


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
  change = method.begin_epoch(search, state, epoch, stages)
  check_type(what, change, Change)
  check_type(f'the stage in {what}', change.stage, Stage, type(None))
  return change


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


def _what(method: Method, hook: str) -> str:
  return f'what {hook} of the method {method.name!r} gives'
