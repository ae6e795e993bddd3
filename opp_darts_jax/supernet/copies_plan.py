"""Which copies the edges of a group are, for the kernels that run them.

Axes: S sources, D destinations, K operations, P places of operation weights:
two flat tables (E, K), one after the other.
"""

from typing import NamedTuple

import numpy as np

from opp_darts_jax.operations.accelerator.copies import (
  AVG,
  BARE,
  CONV,
  MAX,
  Copies,
  Copy,
  Window,
)
from opp_darts_jax.operations.accelerator.edges import (
  FIRST,
  SECOND,
  SOURCES,
  Edges,
  Term,
)
from opp_darts_jax.supernet.copies_weights import (
  REDUCE,
  first_rows,
  form_of,
  kind_of,
  with_weights,
)
from opp_darts_jax.supernet.edges import CellEdges, CellOperation
from opp_darts_jax.supernet.groups import Group

_POOLS = {'max_pool': MAX, 'avg_pool': AVG}


class Norm(NamedTuple):
  """A norm of an operation: rows of a list, one for each of its copies.

  Attributes:
    rows: `FIRST` or `SECOND`, the list.
    starts: of the rows; two where two copies have half of the channels each.
    copies: how many.
  """

  rows: int
  starts: tuple[int, ...]
  copies: int


class Known(NamedTuple):
  """An operation that the kernels run.

  Attributes:
    operation: it.
    slots: of its copies in this group, their rows in its stacks.
    norms: of it.
  """

  operation: CellOperation
  slots: np.ndarray
  norms: tuple[Norm, ...]


class Other(NamedTuple):
  """An operation that runs beside them.

  Attributes:
    operation: it.
    slots: of its copies in this group, their rows in its stacks.
    sources: of the group, that each copy reads.
    edges: of each copy; -1 where it is shared by several.
    places_DN: of the weight of each copy on its way to each destination.
  """

  operation: CellOperation
  slots: np.ndarray
  sources: np.ndarray
  edges: np.ndarray
  places_DN: np.ndarray


class Plan(NamedTuple):
  """How a group runs.

  Attributes:
    edges: for the kernels; None if they know no operation of it.
    known: the operations that they run.
    others: the others.
  """

  edges: Edges | None
  known: tuple[Known, ...]
  others: tuple[Other, ...]


def plan(cell: CellEdges, group: Group) -> Plan:
  """How a group runs."""
  stride = group.phase.stride
  kinds: dict[str, list[CellOperation]] = {}
  for o in cell.operations:
    if o.present(group.phase):
      kinds.setdefault(kind_of(form_of(o, stride)), []).append(o)
  others = kinds.pop('', [])
  if not set(kinds) - {'identity'}:
    others += kinds.pop('identity', [])
  lists = _Lists(cell, group)
  # The second list's copies come first, pools last.
  for o in kinds.get('separable', []):
    lists.add_separable(o)
  for o in kinds.get(REDUCE, []):
    lists.add_reduce(o)
  for kind in _POOLS:
    for o in kinds.get(kind, []):
      lists.add_pool(o, _POOLS[kind])
  for o in kinds.get('identity', []):
    lists.add_identity(o)
  beside = [_other(cell, group, o) for o in others]
  return Plan(
    lists.edges(),
    tuple(lists.known),
    tuple(other for other in beside if len(other.slots)),
  )


class _Lists:
  """Puts the lists of a group together."""

  def __init__(self, cell: CellEdges, group: Group) -> None:
    self.known: list[Known] = []
    self._cell = cell
    self._group = group
    self._stride = group.phase.stride
    self._first: list[Copy] = []
    self._second: list[Copy] = []
    self._terms: list[Term] = []
    self._table = cell.weights_EK.size
    self._starts = first_rows(cell)

  def edges(self) -> Edges | None:
    """What has been put together."""
    if not self._first or not self._terms:
      return None
    separable = with_weights(self._cell, 'separable')
    sizes = [len(self._cell.params[o.name]['pointwise']) for o in separable]
    count, seconds = self._starts[2:]
    first = Copies(
      tuple(self._first),
      self._stride,
      len(self._group.rows),
      max(1, sum(sizes)),
      max(1, count),
    )
    second = Copies(
      tuple(self._second),
      1,
      len(self._first),
      max(1, seconds),
      max(1, seconds),
    )
    return Edges(
      first,
      second if self._second else None,
      tuple(self._terms),
      len(self._group.fed),
      2 * self._table,
    )

  def add_separable(self, o: CellOperation) -> None:
    """A copy for each edge that has it, and maybe one behind that."""
    form = form_of(o, self._stride)
    assert form is not None
    window = Window(form.unit.size, form.unit.dilation)
    slots, sources, destinations, edges = own_copies(o, self._group)
    if not slots:
      return
    first, second = self._starts[0][o.name], self._starts[1].get(o.name)
    norms = [Norm(FIRST, (len(self._first),), len(slots))]
    if second is not None:
      norms.append(Norm(SECOND, (len(self._second),), len(slots)))
    for slot, source, destination, edge in zip(
      slots, sources, destinations, edges
    ):
      row = len(self._first)
      at = first + slot
      self._first.append(Copy(CONV, window, source, at, at))
      if second is not None:
        behind = Copy(CONV, window, row, second + slot, second + slot)
        row = len(self._second)
        self._second.append(behind)
      rows = FIRST if second is None else SECOND
      self._terms.append(Term(rows, row, destination, self._place(o, edge)))
    self.known.append(Known(o, np.array(slots, int), tuple(norms)))

  def add_reduce(self, o: CellOperation) -> None:
    """Two copies for each edge that has it, of half of the channels each."""
    slots, sources, destinations, edges = own_copies(o, self._group)
    if not slots:
      return
    count = len(self._cell.params[o.name]['pointwise'])
    starts = []
    for half in range(2):
      starts.append(len(self._first))
      first = self._starts[0][o.name] + half * count
      for slot, source, destination, edge in zip(
        slots, sources, destinations, edges
      ):
        place = self._place(o, edge) + half * self._table
        row = len(self._first)
        self._terms.append(Term(FIRST, row, destination, place))
        window = Window(1, shift=half)
        self._first.append(Copy(BARE, window, source, 0, first + slot))
    norm = Norm(FIRST, tuple(starts), len(slots))
    self.known.append(Known(o, np.array(slots, int), (norm,)))

  def add_pool(self, o: CellOperation, kind: int) -> None:
    """A copy for each source."""
    start = len(self._first)
    sources = range(len(self._group.rows))
    self._first += [Copy(kind, Window(3), source) for source in sources]
    self._add_terms(o, FIRST, start)
    slots = o.slots(self._group.phase)[list(self._group.rows)]
    norm = Norm(FIRST, (start,), len(sources))
    self.known.append(Known(o, slots, (norm,)))

  def add_identity(self, o: CellOperation) -> None:
    """The sources themselves."""
    self._add_terms(o, SOURCES, 0)

  def _add_terms(self, o: CellOperation, rows: int, start: int) -> None:
    for (source, destination), edge in np.ndenumerate(self._group.edges_SD):
      if edge in o.edges:
        row = start + source
        self._terms.append(Term(rows, row, destination, self._place(o, edge)))

  def _place(self, o: CellOperation, edge: int) -> int:
    return int(edge) * self._cell.weights_EK.shape[1] + o.column


def own_copies(
  o: CellOperation, group: Group
) -> tuple[list[int], list[int], list[int], list[int]]:
  """Of an operation's copies: slots, sources, destinations, edges."""
  slots_SD = o.slots(group.phase)[list(group.rows)][:, list(group.fed)]
  own = np.nonzero(slots_SD >= 0)
  columns = slots_SD[own], *own, group.edges_SD[own]
  slots, sources, destinations, edges = (column.tolist() for column in columns)
  return slots, sources, destinations, edges


def _other(cell: CellEdges, group: Group, o: CellOperation) -> Other:
  columns = cell.weights_EK.shape[1]
  count = len(group.fed)
  if o.shared(group.phase):
    has_SD = np.isin(group.edges_SD, o.edges)
    places_SD = np.where(has_SD, group.edges_SD * columns + o.column, -1)
    slots = o.slots(group.phase)[list(group.rows)]
    sources = np.arange(len(group.rows))
    return Other(o, slots, sources, np.full(len(sources), -1), places_SD.T)
  slots, sources, destinations, edges = (
    np.array(column, int) for column in own_copies(o, group)
  )
  places = np.full((count, len(slots)), -1)
  places[destinations, np.arange(len(slots))] = edges * columns + o.column
  return Other(o, slots, sources, edges, places)
