"""What a caller has called after each epoch, of a search or a training."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from opp_darts_jax.errors import (
  UserError,
  described,
  is_users,
  note_callback,
  takes,
)


def watchers_of(on_epoch: Any) -> list[Callable[[Any], Any]]:
  """What a caller gave as `on_epoch`, one function or several, as a list.

  Raises:
    UserError: if one of them cannot be called with one argument.
  """
  if callable(on_epoch) or not isinstance(on_epoch, Iterable):
    on_epoch = [on_epoch]
  watchers = list(on_epoch)
  for watcher in watchers:
    if not callable(watcher):
      raise UserError(
        "Expected on_epoch as a function of an epoch's record, or several, "
        f'got {described(watcher)}.'
      )
    if not takes(watcher, 1):
      raise UserError(
        "Expected on_epoch as a function of an epoch's record alone, got one "
        f'of {inspect.signature(watcher)}.'
      )
  return watchers


def tell(watcher: Callable[[Any], Any], record: Any) -> Any:
  """What a watcher returns; what a user's own raises notes that it was it."""
  try:
    return watcher(record)
  except Exception as error:
    if is_users(watcher):
      note_callback(error, watcher)
    raise


def ends(answer: Any) -> bool:
  """Whether what a watcher returned is True, of Python or NumPy."""
  return isinstance(answer, (bool, np.bool_)) and bool(answer)
