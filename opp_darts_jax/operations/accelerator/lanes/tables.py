"""What the kernels for TPU know of a group: all tables as one of scalars.

The places of a grid are ordered so that what is read, or summed to, changes
seldom. A place whose copy rests does nothing, and sees what the active place
before it saw: nothing is read or written for it. A small kernel finds out.

Axes: N copies, T terms, P places of operation weights.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from opp_darts_jax.operations.accelerator.copies import Copies
from opp_darts_jax.operations.accelerator.edges import (
  DESTINATION,
  PLACE,
  SECOND,
  Edges,
  term_tables,
)


class Members(NamedTuple):
  """Members of groups.

  Attributes:
    start: of each group's members, and where the last ends.
    member: all, group after group.
  """

  start: Any
  member: Any


class OfList(NamedTuple):
  """What is known of a list.

  Attributes:
    copy: that a place of the grid runs; -1 for none.
    own: the source that a place is of.
    first: whether a place is the first of its source.
    last: whether it is the last.
    source: that a copy reads.
    size: of its window.
    dilation: likewise.
    shift: likewise.
    kind: of a copy.
    depthwise: its row of the stack.
    pointwise: likewise.
    second: the row of the second list that reads it, or -1.
    needs: the places of weights for which a copy is needed.
    terms: that a copy's row is in.
  """

  copy: Any
  own: Any
  first: Any
  last: Any
  source: Any
  size: Any
  dilation: Any
  shift: Any
  kind: Any
  depthwise: Any
  pointwise: Any
  second: Any
  needs: Members
  terms: Members


class OfSums(NamedTuple):
  """What is known of places that add a term, but for `term_place`.

  Attributes:
    term: that a place adds; -1 for none.
    rows: the list that its row is in.
    row: that.
    destination: that a place is of.
    first: whether a place is the first of its destination.
    last: whether it is the last.
    term_destination: where a term goes.
    term_place: of a term's weight.
    of_sources: the terms that a source is in.
  """

  term: Any
  rows: Any
  row: Any
  destination: Any
  first: Any
  last: Any
  term_destination: Any
  term_place: Any
  of_sources: Members


class Seen(NamedTuple):
  """What places do and see, by the mask.

  Attributes:
    runs: of each list's places, whether they do anything.
    copy: of each list's places, the copy that they see.
    second: of the first list's places, the row of the second that they see.
    adds: of the sums' places, whether they do anything.
    row: of the sums' places, the row that they see of each kind of rows.
  """

  runs: tuple[Any, ...]
  copy: tuple[Any, ...]
  second: Any
  adds: Any
  row: tuple[Any, Any, Any]


class View(NamedTuple):
  """All of it, in a kernel.

  Attributes:
    lists: what is known of the first list, and of the second.
    sums: of the sums.
    seen: by the mask.
    weights: of operations, 0 where they are not active.
  """

  lists: tuple[OfList, ...]
  sums: OfSums
  seen: Seen
  weights: Any


@dataclasses.dataclass(frozen=True)
class Column:
  """Some neighbours in a table of scalars."""

  table: Any
  start: int

  def __getitem__(self, at: Any) -> Any:
    return self.table[self.start + at]

  def __setitem__(self, at: Any, value: Any) -> None:
    self.table[self.start + at] = value


@functools.cache
def known(edges: Edges) -> tuple[tuple[OfList, ...], OfSums]:
  """What is known of a group, as arrays int32."""
  table = term_tables(edges)
  lists = [
    _of_list(
      edges.first, table.places_first_NM, table.of_first_NM, table.second_N
    )
  ]
  if edges.second:
    none = np.full(len(edges.second.copies), -1)
    lists.append(
      _of_list(edges.second, table.places_second_NM, table.of_second_NM, none)
    )
  terms = edges.terms
  pairs = []
  for destination in range(edges.destinations):
    own = [i for i, t in enumerate(terms) if t.destination == destination]
    own.sort(key=lambda i: (terms[i].rows, terms[i].row))
    pairs += [(i, destination) for i in own or [-1]]
  term, destination = np.array(pairs).T
  rows, row = np.array([(t.rows, t.row) for t in terms])[np.maximum(term, 0)].T
  sums = OfSums(
    term,
    rows,
    row,
    destination,
    *_ends(destination),
    table.about_T[:, DESTINATION],
    table.about_T[:, PLACE],
    _members(table.of_source_SM),
  )
  return tuple(lists), sums


def _of_list(
  copies: Copies,
  needs_NM: np.ndarray,
  terms_NM: np.ndarray,
  second_N: np.ndarray,
) -> OfList:
  pairs = []
  for source in range(copies.num_sources):
    own = [i for i, c in enumerate(copies.copies) if c.source == source]
    pairs += [(i, source) for i in own or [-1]]
  copy, own = np.array(pairs).T
  first, last = _ends(own)
  about = [
    (c.source, *c.window, c.kind, c.depthwise, c.pointwise)
    for c in copies.copies
  ]
  needs, terms = _members(needs_NM), _members(terms_NM)
  return OfList._make(
    [copy, own, first, last, *np.array(about).T, second_N, needs, terms]
  )


def _ends(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  change = np.diff(groups) != 0
  return np.append(True, change), np.append(change, True)


def _members(members_NM: np.ndarray) -> Members:
  own = [row[1 : row[0] + 1] for row in members_NM]
  start = np.cumsum([0, *map(len, own)])
  return Members(start, np.concatenate(own))


def seen_sizes(edges: Edges) -> Seen:
  """How many scalars there are of each kind."""
  lists, sums = known(edges)
  sizes = [len(own.copy) for own in lists]
  adds = len(sums.term)
  return Seen(tuple(sizes), tuple(sizes), sizes[0], adds, (adds,) * 3)


def flat(tree: Any) -> np.ndarray:
  """The scalars of all leaves, one after the other."""
  return np.concatenate(jax.tree.leaves(tree)).astype(np.int32)


def columns(tree: Any, table: Any) -> Any:
  """The same tree of `Column`; of arrays or of their sizes."""
  leaves, treedef = jax.tree.flatten(tree)
  sizes = [leaf if np.ndim(leaf) == 0 else len(leaf) for leaf in leaves]
  starts = np.cumsum([0, *sizes]).tolist()
  return jax.tree.unflatten(
    treedef, [Column(table, start) for start in starts[:-1]]
  )


class Tables(NamedTuple):
  """All scalars of a group's kernels.

  Attributes:
    edges: of the group.
    known: that does not depend on the mask, int32.
    seen: that does, int32.
    weights: of operations, (P,), 0 where they are not active.
  """

  edges: Edges
  known: Any
  seen: Any
  weights: Any

  @property
  def arrays(self) -> tuple[Any, ...]:
    """What a kernel is given."""
    return self.known, self.seen, self.weights

  def view(self, refs: Sequence[Any]) -> View:
    """How it reads that."""
    table, seen, weights = refs
    lists, sums = columns(known(self.edges), table)
    return View(lists, sums, columns(seen_sizes(self.edges), seen), weights)

  @property
  def places(self) -> tuple[int, ...]:
    """How many places the grids of the lists, and of the sums, have."""
    lists, sums = known(self.edges)
    return *(len(own.copy) for own in lists), len(sums.term)

  @property
  def reads_sources(self) -> bool:
    """Whether sources are summed themselves."""
    return any(t.rows > SECOND for t in self.edges.terms)
