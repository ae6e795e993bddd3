"""How an operation is drawn: its kind, and the colour of that kind.

The colour is the same in every picture. What a space says of its operations, in
space.json of the run's folder, decides their kinds; the kind of an operation
that is not named there goes by its name.
"""

import types
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from opp_darts_jax import errors


class Style(NamedTuple):
  """The kind of an operation and the colour of that kind."""

  kind: str
  color: str


NONE = 'none'
_OTHER = '#6e6e6e'
# Okabe & Ito's palette: told apart with every common kind of colour blindness.
_COLORS = {
  'skip connection': '#d55e00',
  'pooling': '#0072b2',
  'separable convolution': '#009e73',
  'dilated convolution': '#cc79a7',
  'convolution': '#56b4e9',
  NONE: '#999999',
}

# The kinds of no operations: all go by their names.
BY_NAME: Mapping[str, str] = types.MappingProxyType({})


def shown(name: str) -> str:
  """A name from files as text of a picture: as it is, on one line.

  Bytes that are no text, as names of folders can have, and what cannot be seen
  become U+FFFD; a dollar sign does not begin a formula.
  """
  visible = (c if c.isprintable() else '\ufffd' for c in name)
  return ''.join(visible).replace('$', r'\$')


def drawn_kinds(space: Mapping[str, Any]) -> dict[str, str]:
  """The kinds of operations that a space.json names; none of an empty one.

  Raises:
    UserError: if its operations are not objects with a name and a kind.
  """
  kinds = {}
  for operation in space.get('operations', ()):
    match operation:
      case {'name': str(name), 'drawn': str(kind)}:
        kinds[name] = kind
      case _:
        raise errors.UserError(
          "Expected operations with 'name' and 'drawn' in space.json, got "
          f'{operation!r}.'
        )
  return kinds


def operation_style(
  operation: str, drawn: Mapping[str, str] = BY_NAME
) -> Style:
  """The style of an operation.

  Args:
    operation: its name.
    drawn: kinds of operations, see `drawn_kinds`; one that is not among them
      goes by its name. A kind without a colour of its own is grey.
  """
  kind = drawn.get(operation) or _kind(operation)
  return Style(kind, _COLORS.get(kind, _OTHER))


def legend_styles(
  operations: Iterable[str], drawn: Mapping[str, str] = BY_NAME
) -> list[Style]:
  """Their styles, each once: the usual kinds in one order, then the others."""
  used = dict.fromkeys(operation_style(name, drawn) for name in operations)
  usual = [*_COLORS]
  return sorted(
    used, key=lambda s: usual.index(s.kind) if s.kind in usual else len(usual)
  )


def _kind(operation: str) -> str:
  if operation == NONE:
    return NONE
  if 'skip' in operation or operation == 'identity':
    return 'skip connection'
  if 'pool' in operation:
    return 'pooling'
  if operation.startswith('sep'):
    return 'separable convolution'
  if operation.startswith('dil'):
    return 'dilated convolution'
  return 'convolution' if 'conv_' in operation else 'other'
