"""How an operation is drawn: its kind, and by which line.

Its colour is that of its kind, the same in every picture; which one that is the
style sheet knows (templates/page.css.j2), for light, dark and paper. Operations
with parameters are full lines, those without are broken, so that neither
colours nor an eye that tells them apart are needed. What a space says of its
operations, in space.json of the run's folder, decides their kinds; the kind of
an operation that is not named there goes by its name.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from opp_darts_jax import errors
from opp_darts_jax.genotypes.cell import NONE

OTHER = 'other'
# Kinds in the order of a legend, each with its class in the style sheet.
KINDS: Mapping[str, str] = {
  'separable convolution': 'sep',
  'dilated convolution': 'dil',
  'convolution': 'conv',
  'pooling': 'pool',
  'skip connection': 'skip',
  NONE: 'none',
}
_COLORS = 6  # Of lines that are no operations.
_DASHES = ('', '6 3', '2 2')
_FULL = ('', '9 2', '7 2 2 2', '11 2 2 2 2 2')
_BROKEN = {
  'pool': ('5 3', '2 2.5', '5 2 1 2'),
  'skip': ('8 4', '8 3 2 3'),
  'none': ('1 4',),
}
_BROKEN_OTHER = ('4 3', '4 2 1 2', '1.5 3')


class Style(NamedTuple):
  """How an operation is drawn.

  Attributes:
    name: of the operation, as text.
    kind: of it.
    css: the class of its colour.
    parametric: whether it has parameters.
    dash: of its line in charts, as SVG writes it; '' is a full line.
    wide: whether that line is a wide one, as of a larger kernel.
  """

  name: str
  kind: str
  css: str
  parametric: bool
  dash: str
  wide: bool


class Styles:
  """How the operations of a run are drawn.

  Args:
    space: the contents of space.json; {} of a run that has none.
    names: of operations in the run's files, in order.

  Raises:
    UserError: if the operations of the space are not objects with a name and a
      kind.
  """

  def __init__(
    self, space: Mapping[str, Any], names: Iterable[str] = ()
  ) -> None:
    self._kinds: dict[str, str] = {}
    self._parametric: dict[str, bool] = {}
    for operation in space.get('operations', ()):
      match operation:
        case {'name': str(name), 'drawn': str(kind)}:
          self._kinds[name] = kind
          if isinstance(operation.get('parametric'), bool):
            self._parametric[name] = operation['parametric']
        case _:
          raise errors.UserError(
            "Expected operations with 'name' and 'drawn' in space.json, got "
            f'{operation!r}.'
          )
    self._known = list(dict.fromkeys((*self._kinds, *names)))
    self._styles: dict[str, Style] = {}

  def __getitem__(self, name: str) -> Style:
    """The style of an operation."""
    if name not in self._styles:
      self._styles[name] = self._style(name)
    return self._styles[name]

  def _style(self, name: str) -> Style:
    kind = self._kind(name)
    css = KINDS.get(kind, OTHER)
    parametric = self._is_parametric(name)
    if name not in self._known:
      self._known.append(name)
    alike = [
      n
      for n in self._known
      if KINDS.get(self._kind(n), OTHER) == css
      and self._is_parametric(n) == parametric
    ]
    place = alike.index(name)
    dashes = _FULL if parametric else _BROKEN.get(css, _BROKEN_OTHER)
    wide = parametric and place % 2 == 1
    row = place // 2 if parametric else place
    dash = dashes[row % len(dashes)]
    return Style(shown(name), kind, css, parametric, dash, wide)

  def of(self, names: Sequence[str]) -> list[Style]:
    """The styles of several operations."""
    return [self[name] for name in names]

  def _kind(self, name: str) -> str:
    return self._kinds.get(name) or _kind(name)

  def _is_parametric(self, name: str) -> bool:
    by_name = KINDS.get(self._kind(name)) in ('sep', 'dil', 'conv')
    return self._parametric.get(name, by_name)


def line(index: int) -> tuple[str, str]:
  """Class and dash of one of several lines that are no operations'."""
  return color(index), _DASHES[index // _COLORS % len(_DASHES)]


def color(index: int) -> str:
  """Class of such a line, for a chart where all are full."""
  return f'c{index % _COLORS}'


def legend(styles: Iterable[Style]) -> list[Style]:
  """One style of each kind: the usual kinds in one order, then the others."""
  used = {style.kind: style for style in reversed(list(styles))}
  usual = [*KINDS]
  return sorted(
    used.values(),
    key=lambda s: usual.index(s.kind) if s.kind in usual else len(usual),
  )


def shown(name: str) -> str:
  """A name from files as text of a page: as it is, on one line.

  Bytes that are no text, as names of folders can have, and what cannot be seen
  become U+FFFD.
  """
  return ''.join(c if c.isprintable() else '\ufffd' for c in name)


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
  return 'convolution' if 'conv_' in operation else OTHER
