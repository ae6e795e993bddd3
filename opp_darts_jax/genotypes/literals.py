"""Calls in Python text whose arguments are literals: read, never evaluated.

Beside what `ast.literal_eval` takes there are ranges, lists of them, and
numbers as NumPy prints them, `np.int64(0)`.
"""

import ast
import re
from typing import Any

_LISTS = ('list', 'tuple', 'array')
_SCALARS = re.compile(r'u?int\d*|intp|str_?')
# A mistyped range of billions shall not fill the memory.
_LONGEST = 100
_BITS = 64  # Of a number; Python prints none of thousands of digits.
_SHOWN = 60


class UnreadableError(Exception):
  """A piece of a text that cannot be read: why, and where it stands."""

  def __init__(self, why: str, line: int, column: int, piece: str) -> None:
    super().__init__(why)
    self.line, self.column, self.piece = line, column, piece

  def __str__(self) -> str:
    place = f'line {self.line}, column {self.column}'
    at = f', at {self.piece[:_SHOWN]!r}' if self.piece else ''
    return f'{place}{at}: {self.args[0]}'


def read_calls(text: str, function: str) -> list[tuple[str, ast.Call]]:
  """The calls of a function in a text, with the name that each is given.

  Comments, imports and all other statements are passed over.

  Args:
    text: of Python; `FUNCTION(...)`, `NAME = FUNCTION(...)` and
      `MODULE.FUNCTION(...)` are looked for.
    function: the name.

  Returns:
    Pairs of name and call; '' where no name is given.

  Raises:
    UnreadableError: if the text is no Python.
  """
  try:
    body = ast.parse(text).body
  except SyntaxError as error:
    lines = text.split('\n')
    line, column = error.lineno or 1, max(error.offset or 1, 1)
    piece = lines[line - 1][column - 1 :] if line <= len(lines) else ''
    raise UnreadableError(error.msg, line, column, piece) from error
  except (ValueError, RecursionError, MemoryError) as error:
    raise UnreadableError(str(error) or 'nested too deep', 1, 1, '') from error
  calls = []
  for statement in body:
    match statement:
      case ast.Expr(value=ast.Call() as call):
        name = ''
      case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call):
        pass
      case ast.AnnAssign(target=ast.Name(id=name), value=ast.Call() as call):
        pass
      case _:
        continue
    if _called(call) == function:
      calls.append((name, call))
  return calls


def arguments(
  text: str, call: ast.Call, names: tuple[str, ...]
) -> dict[str, Any]:
  """The arguments of a call by their names.

  Args:
    text: that the call stands in.
    call: of `read_calls`.
    names: of the function's arguments, in order.

  Raises:
    UnreadableError: on an argument that there is not, one given twice, or one
      that is no literal.
  """
  given: dict[str, Any] = {}
  pairs = [*zip(names, call.args)]
  for extra in call.args[len(names) :]:
    raise _unreadable(text, extra, f'there are only {len(names)} arguments')
  for keyword in call.keywords:
    if keyword.arg not in names:
      valid = ', '.join(names)
      raise _unreadable(text, keyword.value, f'valid arguments are {valid}')
    pairs.append((keyword.arg, keyword.value))
  for name, value in pairs:
    if name in given:
      raise _unreadable(text, value, f'{name} is given twice')
    given[name] = _literal(text, value)
  return given


def _called(call: ast.expr) -> str:
  """The function's own name, whatever module it is of."""
  match call:
    case ast.Call(func=ast.Name(id=name)):
      return name
    case ast.Call(func=ast.Attribute(value=ast.Name(), attr=name)):
      return name
  return ''


def _literal(text: str, value: ast.expr) -> Any:
  match value:
    case ast.Constant(value=int() as found) if found.bit_length() > _BITS:
      raise _unreadable(text, value, 'a number of too many digits')
    case ast.Constant(value=str() | int() as found):
      return found
    case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int()) as size):
      return -_literal(text, size)
    case ast.List(elts=elements):
      return [_literal(text, element) for element in elements]
    case ast.Tuple(elts=elements):
      return tuple(_literal(text, element) for element in elements)
    case ast.Call(args=args, keywords=[]):
      return _call(text, value, [_literal(text, arg) for arg in args])
  raise _unreadable(
    text, value, 'expected a list, a pair, a text, a whole number or a range'
  )


def _call(text: str, call: ast.expr, args: list[Any]) -> Any:
  """What `range`, `list` and the types of NumPy's numbers make."""
  name = _called(call)
  match args:
    case [int() | str() as scalar] if _SCALARS.fullmatch(name):
      return scalar
    case [(list() | tuple() | range()) as items] if name in _LISTS:
      return list(items)
    case [int(), *_] if name == 'range':
      try:
        found = range(*args)
      except (TypeError, ValueError) as error:
        raise _unreadable(text, call, str(error)) from error
      if len(found[: _LONGEST + 1]) > _LONGEST:
        raise _unreadable(text, call, 'a range of too many numbers')
      return found
  raise _unreadable(
    text,
    call,
    'of calls only range(...), list(...), tuple(...) and numbers such as '
    'np.int64(0) are read',
  )


def _unreadable(text: str, node: ast.expr, why: str) -> UnreadableError:
  lines = text.split('\n')
  before = lines[node.lineno - 1].encode()[: node.col_offset]
  piece = ast.get_source_segment(text, node) or ''
  return UnreadableError(why, node.lineno, len(before.decode()) + 1, piece)
