"""Names in configs: of what ships with the package, or of a user's own.

A name is one of the package's, `MODULE:NAME` (`my_package.my_file:SPACE`) or
`FILE.py:NAME`. Where something is made by a function, the name may give it
arguments, as Python would: `pc_darts(partial=2)`. Only literals are read;
nothing is evaluated.
"""

import ast
import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import math
import os
import pathlib
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from opp_darts_jax.errors import UserError, file_of, first_line, telling

# Types of arguments that are checked, where a function says them.
_KINDS: tuple[Any, ...] = (bool, int, float, str)
_KINDS += (tuple[int, ...], tuple[float, ...], tuple[str, ...])
_OWN = re.compile(r'(?P<place>[^:]+(\.py)?):(?P<name>[A-Za-z_]\w*)$')


def find(what: str, name: str, known: Mapping[str, Any]) -> Any:
  """What a name stands for.

  Args:
    what: it is, for messages: 'space', 'method', ...
    name: as in the module's docstring, without arguments.
    known: what ships with the package, by name.

  Raises:
    UserError: if there is nothing of this name.
  """
  if name in known:
    return known[name]
  own = _OWN.match(name)
  if not own:
    raise UserError(
      f'Unknown {what} {name!r}; valid are: {", ".join(known)}, or your own as '
      'MODULE:NAME or FILE.py:NAME.'
    )
  module = _module(what, own['place'])
  if not hasattr(module, own['name']):
    raise UserError(
      f'Expected {own["name"]} in {own["place"]}, as the {what} {name!r} says; '
      'there is none.'
    )
  return getattr(module, own['name'])


def make(
  what: str, text: str, known: Mapping[str, Callable[..., Any]], *given: Any
) -> Any:
  """What the function of a name makes, with the arguments that the text gives.

  Args:
    what: it is, for messages.
    text: a name, or a call of one: 'darts', 'pc_darts(partial=2)'.
    known: the functions that ship with the package, by name.
    *given: further arguments of the function, before those of the text.

  Raises:
    UserError: if there is no such function, or it does not take these, or not
      of such types as its annotations say, or a user's own raises something.
  """
  name, arguments = split_call(what, text)
  function = find(what, name, known)
  if not callable(function):
    if arguments:
      raise UserError(
        f'Expected the {what} {text!r} to be a function, as it is given '
        f'arguments, got {type(function).__name__}.'
      )
    return function
  signature = inspect.signature(function)
  try:
    signature.bind(*given, **arguments)
  except TypeError as error:
    free = list(signature.parameters)[len(given) :]
    raise UserError(
      f'Unfit arguments in the {what} {text!r}: {first_line(error)}; '
      f'{name} takes: {", ".join(free) or "none"}.'
    ) from error
  for field, value in arguments.items():
    kind = getattr(signature.parameters.get(field), 'annotation', None)
    if kind in _KINDS:
      of_type(kind, value, f'{field} of the {what} {text!r}')
  if name in known:
    return function(*given, **arguments)
  with telling(f'Could not make the {what} {text!r}', file_of(function)):
    return function(*given, **arguments)


def of_type(kind: Any, value: Any, name: str) -> Any:
  """A value as a type, without guessing: 1 is a float, '1' and True are not.

  Nor is any number that is not finite. NumPy's are as Python's own.

  Args:
    kind: bool, int, float, str, or tuples of such, `tuple[int, ...]`.
    value: from a file, a text or Python.
    name: for the message.

  Raises:
    UserError: if it is of another type.
  """
  if hasattr(value, 'dtype') and getattr(value, 'ndim', None) == 0:
    value = value.item()
  if typing.get_origin(kind) is tuple:
    item = typing.get_args(kind)[0]
    if isinstance(value, str) or not hasattr(value, '__iter__'):
      raise UserError(f'{name} must be a tuple; got {value!r}.')
    return tuple(of_type(item, v, name) for v in value)
  if kind is float and isinstance(value, int) and not isinstance(value, bool):
    return float(value)
  if type(value) is float and not math.isfinite(value):
    raise UserError(f'{name} must be a finite number; got {value}.')
  if type(value) is not kind:
    raise UserError(
      f'{name} must be of type {kind.__name__}; got {value!r}, of type '
      f'{type(value).__name__}.'
    )
  return value


def split_call(what: str, text: str) -> tuple[str, dict[str, Any]]:
  """The name in 'NAME' or 'NAME(field=literal, ...)', and the arguments."""
  name, bracket, rest = text.strip().partition('(')
  if not bracket:
    return name, {}
  try:
    call = ast.parse(f'f({rest}', mode='eval').body
    if not isinstance(call, ast.Call) or call.args:
      raise ValueError
    if not isinstance(call.func, ast.Name):
      raise ValueError
    arguments = {
      str(given.arg): ast.literal_eval(given.value) for given in call.keywords
    }
    if len(arguments) < len(call.keywords):
      raise ValueError
  except (SyntaxError, TypeError, ValueError) as error:
    raise UserError(
      f'Expected a {what} as NAME or NAME(field=value, ...), with numbers or '
      f'text as values, got {text!r}.'
    ) from error
  return name, arguments


def split(text: str, mark: str) -> list[str]:
  """What stands between marks, of one character, in 'A+B(x=+1)+C' for instance.

  A mark within brackets or quotation marks is none.
  """
  depth, at, parts = 0, 0, []
  for found in re.finditer(r"""'[^']*'|"[^"]*"|.""", text, re.DOTALL):
    depth += (found[0] in '([{') - (found[0] in ')]}')
    if found[0] == mark and depth == 0:
      parts.append(text[at : found.start()].strip())
      at = found.end()
  return [*parts, text[at:].strip()]


def _module(what: str, place: str) -> Any:
  sentence = f'Could not import {place}, which the {what} is to come from'
  if place.endswith('.py'):
    path = pathlib.Path(place).expanduser().resolve()
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    name = f'{path.stem}_{digest}'
    # What it imports may lie beside it.
    with telling(sentence, str(path)), _importable(str(path.parent)):
      # Loaded once: what it holds stays the same object.
      return sys.modules.get(name) or file_module(name, path)
  # A console command does not look for modules where it was called.
  with telling(sentence, ''), _importable(os.getcwd()):
    return importlib.import_module(place)


def file_module(name: str, path: str | pathlib.Path) -> types.ModuleType:
  """A file, executed as the module of this name."""
  spec = importlib.util.spec_from_file_location(name, path)
  if spec is None or spec.loader is None:
    raise ImportError(f'{path} is no Python file')
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module
  try:
    spec.loader.exec_module(module)
  except BaseException:
    del sys.modules[name]
    raise
  return module


@contextlib.contextmanager
def _importable(folder: str) -> Iterator[None]:
  """Lets modules of a folder be found, after all others."""
  if folder in sys.path:
    yield
    return
  sys.path.append(folder)
  try:
    yield
  finally:
    sys.path.remove(folder)
