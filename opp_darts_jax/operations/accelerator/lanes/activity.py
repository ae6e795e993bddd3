"""The kernel that finds out what the places of a group's grids do and see.

Axes: P places of operation weights.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from opp_darts_jax.operations.accelerator.edges import Edges
from opp_darts_jax.operations.accelerator.lanes.pallas import loop, options
from opp_darts_jax.operations.accelerator.lanes.tables import (
  Column,
  OfList,
  OfSums,
  Seen,
  Tables,
  columns,
  flat,
  known,
  seen_sizes,
)
from opp_darts_jax.operations.accelerator.pallas import name_of


def tables_of(
  edges: Edges, weights: jax.Array, mask: jax.Array, seen: Any = None
) -> Tables:
  """The tables of a group.

  Args:
    edges: of it.
    weights: of operations, (P,).
    mask: int32 (P,), which of them are active.
    seen: `Tables.seen`, if it is known.
  """
  own = known(edges)
  table = jnp.asarray(flat(own))
  if seen is None:
    seen = _find_seen(edges, table, mask)
  return Tables(edges, table, seen, jnp.where(mask > 0, weights, 0))


def _find_seen(edges: Edges, table: jax.Array, mask: jax.Array) -> jax.Array:
  own, sizes = known(edges), seen_sizes(edges)

  def kernel(table_ref, mask_ref, out_ref):
    lists, sums = columns(own, table_ref)
    seen = columns(sizes, out_ref)
    for i, (of_list, count) in enumerate(zip(lists, sizes.runs)):
      _see_list(of_list, count, mask_ref, seen, i)
    _see_sums(sums, sizes.adds, mask_ref, seen)

  scalars = pl.BlockSpec(memory_space=pltpu.SMEM)
  count = sum(jax.tree.leaves(sizes))
  found: jax.Array = pl.pallas_call(
    kernel,
    in_specs=[scalars, scalars],
    out_specs=scalars,
    out_shape=jax.ShapeDtypeStruct((count,), jnp.int32),
    name=name_of(kernel),
    **options(0),
  )(table, mask)
  return found


def _see_list(
  of_list: OfList, count: int, mask: Any, seen: Seen, number: int
) -> None:
  runs = seen.runs[number]
  start, member = of_list.needs

  def find(i, _):
    copy = of_list.copy[i]
    own = jnp.maximum(copy, 0)
    first = start[own]

    def add(m, needed):
      return needed | (mask[member[first + m]] > 0).astype(jnp.int32)

    needed = loop(start[own + 1] - first, add, jnp.int32(0))
    runs[i] = jnp.where(copy >= 0, needed, 0)
    return 0

  loop(count, find, 0)
  _see(
    count,
    lambda i: runs[i],
    lambda i: jnp.maximum(of_list.copy[i], 0),
    seen.copy[number],
  )
  if number:
    return

  def second(i):
    return of_list.second[jnp.maximum(of_list.copy[i], 0)]

  _see(
    count,
    lambda i: runs[i] * (second(i) >= 0).astype(jnp.int32),
    lambda i: jnp.maximum(second(i), 0),
    seen.second,
  )


def _see_sums(sums: OfSums, count: int, mask: Any, seen: Seen) -> None:
  def find(i, _):
    term = sums.term[i]
    active = mask[sums.term_place[jnp.maximum(term, 0)]]
    seen.adds[i] = jnp.where(term >= 0, active, 0)
    return 0

  loop(count, find, 0)
  for kind, row in enumerate(seen.row):

    def of(column, i, kind=kind):
      return jnp.where(sums.rows[i] == kind, column[i], 0)

    adds, rows = (
      functools.partial(of, seen.adds),
      functools.partial(of, sums.row),
    )
    _see(count, adds, rows, row)


def _see(
  count: int,
  active: Callable[[Any], Any],
  value: Callable[[Any], Any],
  out: Column,
) -> None:
  """Writes the value of the last active place, or of the first to come."""

  def find(i, carry):
    last, first = carry
    here = active(i) > 0
    last = jnp.where(here, i, last)
    out[i] = last
    return last, jnp.where(here & (first < 0), i, first)

  none = jnp.int32(-1)
  _, first = loop(count, find, (none, none))

  def write(i, _):
    last = out[i]
    out[i] = value(jnp.where(last < 0, jnp.maximum(first, 0), last))
    return 0

  loop(count, write, 0)
