"""What ends a run early: a sentence for the user, and an exit code.

A launcher prints the sentence and exits with the code. 0 means finished, 75
that the run was stopped and the same command goes on with it; every other code
waits for a person.
"""

import contextlib
import functools
import inspect
import math
import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

_PACKAGE = os.path.dirname(os.path.abspath(__file__))
_CALLBACK = 'the callback '  # begins the note on what one raises


class UserError(ValueError):
  """Wrong input: what was expected, what came, what is valid."""

  exit_code = 2


class DivergedError(UserError):
  """A loss that is not a finite number."""

  exit_code = 3


class CheckpointError(UserError):
  """No checkpoint of a run that has begun can be used."""

  exit_code = 4


class OtherRunError(UserError):
  """A workdir that holds the run of another config."""

  exit_code = 5


class WorkdirInUseError(UserError):
  """A workdir in which another process runs."""

  exit_code = 6


class WorkdirError(UserError):
  """A workdir that is no folder, or cannot be written to."""

  exit_code = 7


class WriteError(UserError):
  """A file that could not be written while running, such as on a full disk."""

  exit_code = 8


class DataError(UserError):
  """A data set that is missing, damaged, changed or unfit."""

  exit_code = 9


class DeviceMemoryError(UserError):
  """More memory asked for than the device has."""

  exit_code = 10


class NotFinished(Exception):  # noqa: N818
  """A run that was asked to stop, and can go on."""

  exit_code = 75  # EX_TEMPFAIL: try again later.


def check_choice(what: str, value: object, choices: Iterable[object]) -> None:
  """Raises `UserError` naming the valid choices unless `value` is one."""
  choices = list(choices)
  if value not in choices:
    valid = ', '.join(str(choice) for choice in choices)
    raise UserError(f'Unknown {what} {value!r}; valid are: {valid}.')


def check_finite(what: str, loss: float, whose: str = 'training') -> None:
  """Raises `DivergedError` unless a loss is a finite number."""
  if not math.isfinite(loss):
    raise DivergedError(
      f'The {what} must be finite, but is {loss}: {whose} has diverged; lower '
      'weights.learning_rate.'
    )


def check_type(what: str, value: object, *kinds: type) -> None:
  """Raises `UserError` unless a value is of one of the kinds."""
  if not isinstance(value, kinds):
    names = ' or '.join(kind.__name__ for kind in kinds)
    raise UserError(f'Expected {what} as {names}, got {described(value)}.')


def takes(function: Any, count: int) -> bool:
  """Whether something can be called with so many arguments."""
  try:
    inspect.signature(function).bind(*[None] * count)
  except TypeError:
    return False
  except ValueError:  # What is built in may say nothing of its arguments.
    return True
  return True


def described(value: Any) -> str:
  """What was given, for a message."""
  if isinstance(value, (tuple, list)):
    return f'a {type(value).__name__} of {len(value)}'
  call = ' (call it to make one)' if callable(value) else ''
  return f'{type(value).__name__}{call}'


@contextlib.contextmanager
def telling(
  sentence: str,
  path: str,
  kind: type[UserError] = UserError,
  but: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
  """Whatever a user's file raises becomes a `UserError`.

  Args:
    sentence: of what could not be done; what was raised is put behind it.
    path: of the file, of which the line is told; '' if it has none.
    kind: of the error.
    but: what stays as it is, beside sentences and the end of a run.
  """
  stays: tuple[type[Exception], ...] = (UserError, NotFinished, *but)
  try:
    yield
  except stays:
    raise
  except (Exception, SystemExit) as error:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    where = f' at line {lines[-1]}' if lines else ''
    raise kind(
      f'{sentence}: {type(error).__name__}{where}: {first_line(error)}.'
    ) from error


def file_of(function: Callable[..., Any]) -> str:
  """The path of the file that has a function; '' if it is no Python's."""
  while isinstance(function, functools.partial):
    function = function.func
  function = inspect.unwrap(function)
  called: Any = function
  if not hasattr(function, '__code__'):  # An object that can be called.
    called = type(function).__call__
  code = getattr(called, '__code__', None)
  return getattr(code, 'co_filename', '')


def is_users(function: Callable[..., Any]) -> bool:
  """Whether a function is a user's own, and not of this package."""
  return not file_of(function).startswith(_PACKAGE + os.sep)


def note_callback(error: Exception, callback: Callable[..., Any]) -> None:
  """Notes on an error, which stays as it is, whose callback raised it."""
  name = getattr(callback, '__name__', type(callback).__name__)
  path = file_of(callback)
  where = f' of {path}' if path else ''
  error.add_note(f'{_CALLBACK}{name}{where} raised this')


def of_callback(error: Exception) -> str:
  """Which callback raised an error, as 'the callback NAME of FILE'; or ''."""
  notes = getattr(error, '__notes__', ())
  own = (note for note in notes if note.startswith(_CALLBACK))
  return next(own, '').removesuffix(' raised this')


def first_line(error: BaseException) -> str:
  """What an error says, to be put into a sentence."""
  lines = str(error).strip().splitlines() or [type(error).__name__]
  return lines[0].rstrip('.:')
