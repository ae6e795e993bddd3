"""What the edges of a group are: copies in two lists, and sums of these.

The first list reads the group's sources, the second those rows of the first
that are units with another behind them. Terms say which rows are summed to
which destination, and by which operation weight.

Axes: S sources, N copies of a list, D destinations, T terms, P places of
operation weights.
"""

import functools
from typing import NamedTuple

import numpy as np

from opp_darts_jax.operations.accelerator.copies import Copies, grouped

# The lists whose rows are summed.
FIRST, SECOND, SOURCES = range(3)


class Term(NamedTuple):
  """A row that is summed.

  Attributes:
    rows: `FIRST`, `SECOND` or `SOURCES`, the list that it is in.
    row: its number there.
    destination: where it goes.
    place: of its weight.
  """

  rows: int
  row: int
  destination: int
  place: int


class Edges(NamedTuple):
  """The edges of a group, as far as kernels know their operations.

  Attributes:
    first: copies that read the sources.
    second: copies that read rows of the first; None if there are none.
    terms: what is summed.
    destinations: how many there are.
    places: how many weights of operations there are.
  """

  first: Copies
  second: Copies | None
  terms: tuple[Term, ...]
  destinations: int
  places: int

  def repeated(self, times: int) -> 'Edges':
    """As many groups, one after the other."""
    counts = {
      FIRST: len(self.first.copies),
      SECOND: len(self.second.copies) if self.second else 0,
      SOURCES: self.first.num_sources,
    }
    terms = tuple(
      Term(
        t.rows,
        t.row + i * counts[t.rows],
        t.destination + i * self.destinations,
        t.place + i * self.places,
      )
      for i in range(times)
      for t in self.terms
    )
    return Edges(
      self.first.repeated(times),
      self.second.repeated(times) if self.second else None,
      terms,
      times * self.destinations,
      times * self.places,
    )


# Columns of `TermTables.about_T`.
ROWS, ROW, DESTINATION, PLACE = range(4)


class TermTables(NamedTuple):
  """Terms as the kernels read them, int32; members come after their number.

  Attributes:
    about_T: of each term, the columns above.
    of_destination_DM: the terms of each destination.
    of_first_NM: those of each row of the first list.
    of_second_NM: those of each row of the second list.
    of_source_SM: those of each source.
    places_first_NM: the places of weights for which a row of the first list is
      needed, by itself or by the second.
    places_second_NM: likewise, of the second list.
    second_N: the row of the second list that reads each of the first, or -1.
  """

  about_T: np.ndarray
  of_destination_DM: np.ndarray
  of_first_NM: np.ndarray
  of_second_NM: np.ndarray
  of_source_SM: np.ndarray
  places_first_NM: np.ndarray
  places_second_NM: np.ndarray
  second_N: np.ndarray


@functools.cache
def term_tables(edges: Edges) -> TermTables:
  """The tables of a group's terms."""
  first, second = edges.first.copies, edges.second
  seconds = second.copies if second else ()
  behind = {copy.source: row for row, copy in enumerate(seconds)}

  def of(rows: int, count: int) -> np.ndarray:
    own = [t.row if t.rows == rows else -1 for t in edges.terms]
    return grouped(own, count)

  def places(members_NM: np.ndarray) -> np.ndarray:
    places = np.array([t.place for t in edges.terms], np.int32)
    return np.concatenate([members_NM[:, :1], places[members_NM[:, 1:]]], 1)

  of_second = of(SECOND, len(seconds))
  needs = [
    seconds[t.row].source if t.rows == SECOND else t.row
    for t in edges.terms
    if t.rows != SOURCES
  ]
  own_terms = [i for i, t in enumerate(edges.terms) if t.rows != SOURCES]
  needed = grouped(needs, len(first))
  needed[:, 1:] = np.array([*own_terms, 0])[needed[:, 1:]]
  return TermTables(
    np.array(edges.terms, np.int32),
    grouped([t.destination for t in edges.terms], edges.destinations),
    of(FIRST, len(first)),
    of_second,
    of(SOURCES, edges.first.num_sources),
    places(needed),
    places(of_second),
    np.array([behind.get(row, -1) for row in range(len(first))], np.int32),
  )
