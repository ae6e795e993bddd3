"""What the kernels for TPU know of a list of copies and of sums.

The places of a grid are ordered so that what is read, or summed to, changes
seldom. A place whose copy rests does nothing, and sees what the active place
before it saw: nothing is read or written for it.

Axes: N places, T terms, P places of operation weights, S sources, D
destinations.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.operations.accelerator.copies import Copies
from opp_darts_jax.operations.accelerator.edges import (
  FIRST,
  SECOND,
  SOURCES,
  Edges,
)


class CopyTables(NamedTuple):
  """Of each place of a list's grid, all (N,), int32.

  Attributes:
    copy: that it runs; of a place that rests, that of an active one.
    runs: whether it does anything.
    source: that its copy reads, likewise.
    own: the source that it is of, active or not.
    first: whether it is the first of its source.
    last: whether it is the last.
    size: of the window.
    dilation: likewise.
    shift: likewise.
    kind: of the copy.
    depthwise: row of the stack.
    pointwise: likewise.
  """

  copy: Any
  runs: Any
  source: Any
  own: Any
  first: Any
  last: Any
  size: Any
  dilation: Any
  shift: Any
  kind: Any
  depthwise: Any
  pointwise: Any


class SumTables(NamedTuple):
  """Of each place of the grid of a group's sums, all (N,), int32.

  Attributes:
    term: that it adds.
    runs: whether it does anything.
    rows: which list its row is in.
    at: the row that is to be seen of each list: of the term, or the last one
      before.
    destination: that it is of.
    first: whether it is the first of it.
    last: whether it is the last.
    place: of the term's weight.
  """

  term: Any
  runs: Any
  rows: Any
  at: tuple[Any, Any, Any]
  destination: Any
  first: Any
  last: Any
  place: Any


@functools.cache
def _places(copies: Copies) -> tuple[np.ndarray, np.ndarray]:
  """Copies by source, -1 for a source that none reads; their sources."""
  pairs = []
  for source in range(copies.num_sources):
    own = [i for i, c in enumerate(copies.copies) if c.source == source]
    pairs += [(i, source) for i in own or [-1]]
  copy, source = np.array(pairs).T
  return copy, source


def copy_tables(copies: Copies, used: jax.Array) -> CopyTables:
  """The tables of a list of which some are active: used, bool (N,)."""
  copy, own = _places(copies)
  runs = jnp.where(copy >= 0, used[np.maximum(copy, 0)], False)
  seen = _last_active(runs)
  about = np.array(
    [
      (
        i,
        c.source,
        c.window.size,
        c.window.dilation,
        c.window.shift,
        c.kind,
        c.depthwise,
        c.pointwise,
      )
      for i, c in ((i, copies.copies[i]) for i in np.maximum(copy, 0))
    ],
    np.int32,
  )
  at = jnp.where(seen[:, :, None], about, 0).sum(1, dtype=jnp.int32)
  chosen, source, *rest = (at[:, i] for i in range(at.shape[1]))
  first, last = _ends(own)
  return CopyTables(
    chosen, runs.astype(jnp.int32), source, _int(own), first, last, *rest
  )


def second_tables(
  copies: Copies, tables: CopyTables, second_N: np.ndarray
) -> tuple[Any, Any]:
  """Of a first list, which rows of the second read its copies.

  Returns:
    Of each copy, -1 for none; of each place, what it sees of the second list.
  """
  copy, _ = _places(copies)
  own = np.where(copy >= 0, second_N[np.maximum(copy, 0)], -1)
  seen = _last_active((tables.runs > 0) & (own >= 0))
  at = jnp.where(seen, np.maximum(own, 0), 0).sum(1, dtype=jnp.int32)
  return _int(second_N), at


def sum_tables(edges: Edges, mask: jax.Array) -> SumTables:
  """The tables of a group's sums; mask int32 (P,)."""
  pairs = []
  for destination in range(edges.destinations):
    own = [i for i, t in enumerate(edges.terms) if t.destination == destination]
    own.sort(key=lambda i: (edges.terms[i].rows, edges.terms[i].row))
    pairs += [(i, destination) for i in own or [-1]]
  term, own = np.array(pairs).T
  terms = [edges.terms[i] for i in np.maximum(term, 0)]
  place = np.array([t.place for t in terms])
  runs = (mask[place] > 0) & (term >= 0)
  rows, row = np.array([(t.rows, t.row) for t in terms], np.int32).T
  first, last = _ends(own)

  def at(kind):
    seen = _last_active(runs & (rows == kind))
    return jnp.where(seen, np.where(rows == kind, row, 0), 0).sum(
      1, dtype=jnp.int32
    )

  return SumTables(
    _int(np.maximum(term, 0)),
    runs.astype(jnp.int32),
    _int(rows),
    (at(FIRST), at(SECOND), at(SOURCES)),
    _int(own),
    first,
    last,
    _int(place),
  )


def _last_active(runs: jax.Array) -> jax.Array:
  """(N, N): which place each sees; the last active, or the first to come."""
  count = len(runs)
  at = np.arange(count)
  before = jnp.where(runs & (at[:, None] >= at), at, -1).max(1)
  behind = jnp.where(runs, at, count).min()
  return jnp.where(before < 0, behind, before)[:, None] == at


def _ends(groups: np.ndarray) -> tuple[jax.Array, jax.Array]:
  change = np.diff(groups) != 0
  return _int(np.append(True, change)), _int(np.append(change, True))


def _int(x: Any) -> jax.Array:
  return jnp.asarray(x, jnp.int32)
