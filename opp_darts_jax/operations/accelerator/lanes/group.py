"""The kernels for TPU of a group's edges, one after the other.

Axes: as in form.py; P places of operation weights.
"""

from typing import Any

import jax
import jax.numpy as jnp

from opp_darts_jax.operations.accelerator.copies import Copies
from opp_darts_jax.operations.accelerator.edges import (
  SOURCES,
  Edges,
  term_tables,
)
from opp_darts_jax.operations.accelerator.group import (
  NUM_ARGS,
  stacked,
  weight_gradient,
)
from opp_darts_jax.operations.accelerator.lanes.arriving import (
  Arriving,
  Members,
)
from opp_darts_jax.operations.accelerator.lanes.backward import (
  Tables,
  gradients,
)
from opp_darts_jax.operations.accelerator.lanes.form import Form
from opp_darts_jax.operations.accelerator.lanes.forward import (
  Rows,
  Weights,
  run_copies,
)
from opp_darts_jax.operations.accelerator.lanes.sums import (
  Given,
  sum_terms,
  term_sums,
)
from opp_darts_jax.operations.accelerator.lanes.tables import (
  CopyTables,
  copy_tables,
  second_tables,
  sum_tables,
)
from opp_darts_jax.operations.accelerator.parts import used_copies
from opp_darts_jax.operations.accelerator.shares import Shares
from opp_darts_jax.operations.norm import wide_type


def forward(
  *args: Any,
  lists: Edges,
  form: Form,
  precision: str | None,
  shares: Shares,
) -> list[jax.Array]:
  """The sums, then rows and moments of both lists; of a share of the batch.

  Args:
    *args: sources (S, T, R, I, L), four stacks of weights, weights of
      operations, and a mask of these, as `fused.run_edges` has them; moments of
      both lists, if those of the batch are not wanted.
    lists: the edges.
    form: of the sources.
    precision: of the products of float32.
    shares: of the batch.
  """
  x, k1, w1, k2, w2, weights, mask, *moments = args
  first, second = _list_tables(lists, mask)

  def run(copies, form, source, taps, matrices, tables, number):
    found = run_copies(
      copies,
      form,
      source,
      _expanded(form, taps, matrices, x),
      tables,
      moments=not moments,
      precision=precision,
    )
    if moments:
      return found._replace(moments=form.vectors(moments[number]))
    merged = shares.merged(found.moments[:, 0], found.moments[:, 1])
    return found._replace(moments=jnp.stack(merged, 1))

  y1 = run(lists.first, form, Rows(x), k1, w1, first, 0)
  results = [*y1]
  y2 = None
  if lists.second:
    y2 = run(lists.second, form.behind, y1, k2, w2, second, 1)
    results += y2
  given = _given(lists, y1, y2, x)
  tables = sum_tables(lists, mask)
  weights = jnp.where(mask > 0, weights, 0).astype(wide_type(x))
  return [sum_terms(lists, form.behind, given, tables, weights), *results]


def gradient(
  *args: Any,
  moves: tuple[bool, ...],
  lists: Edges,
  form: Form,
  precision: str | None,
  shares: Shares,
) -> list[jax.Array]:
  """The gradients of the arguments of `forward` that move.

  Args:
    *args: those of `forward`, its results but the sums, and the gradient of
      the sums.
    moves: which of the arguments, the mask apart, do.
    lists: the edges.
    form: of the sources.
    precision: of the products of float32.
    shares: of the batch.
  """
  x, k1, w1, k2, w2, weights, mask = args[: NUM_ARGS + 1]
  _, *kept = args[NUM_ARGS + 1 : -1]
  g, table = args[-1], term_tables(lists)
  y1 = Rows(*kept[:2])
  y2 = Rows(*kept[2:4]) if lists.second else None
  tables = sum_tables(lists, mask)
  given = _given(lists, y1, y2, x)
  sums = shares.sum(term_sums(lists, form.behind, given, tables, g))
  found: list[Any] = [None] * NUM_ARGS
  if moves[5]:
    variances = [
      None if y is None else form.of_vectors(y.moments[:, 1]) for y in (y1, y2)
    ]
    own = form.of_vectors(sums[:, 1])
    found[5] = weight_gradient(lists, variances, own)
  if any(moves[:5]):
    weights = jnp.where(mask > 0, weights, 0).astype(sums.dtype)
    first, second = _list_tables(lists, mask)
    arriving = Arriving(rows=y1, g=g, sums=sums)
    behind = None
    if lists.second:
      assert second is not None
      assert y2 is not None
      members = Members.of(table.about_T, table.of_second_NM)
      back = gradients(
        lists.second,
        form.behind,
        y1,
        _expanded(form, k2, w2, x),
        Tables(second, members, None, weights),
        arriving._replace(rows=y2),
        of_weights=moves[3] or moves[4],
        precision=precision,
      )
      found[3:5] = _of_weights(lists.second, form, back.weights, k2, shares)
      arriving = arriving._replace(
        second=back.x, second_sums=shares.sum(back.sums)
      )
      behind = second_tables(lists.first, first, table.second_N)
    own = table.of_source_SM if given.sources is not None else None
    back = gradients(
      lists.first,
      form,
      Rows(x),
      _expanded(form, k1, w1, x),
      Tables(
        first,
        Members.of(table.about_T, table.of_first_NM),
        None if own is None else Members.of(table.about_T, own),
        weights,
        *(behind or ()),
      ),
      arriving,
      of_weights=moves[1] or moves[2],
      precision=precision,
    )
    found[1:3] = _of_weights(lists.first, form, back.weights, k1, shares)
    found[0] = back.x
  return [
    t if t is not None else jnp.zeros_like(arg)
    for t, by, arg in zip(found, moves, args)
    if by
  ]


def _list_tables(
  lists: Edges, mask: jax.Array
) -> tuple[CopyTables, CopyTables | None]:
  table = term_tables(lists)
  used = used_copies(mask, table.places_first_NM) > 0
  first = copy_tables(lists.first, used)
  if not lists.second:
    return first, None
  used = used_copies(mask, table.places_second_NM) > 0
  return first, copy_tables(lists.second, used)


def _expanded(
  form: Form, taps: jax.Array, matrices: jax.Array, x: jax.Array
) -> Weights:
  wide = wide_type(x)
  return Weights(
    form.vectors(taps).astype(wide), form.matrices(matrices).astype(wide)
  )


def _given(lists: Edges, y1: Rows, y2: Rows | None, x: jax.Array) -> Given:
  reads = any(t.rows == SOURCES for t in lists.terms)
  return Given(y1, y2, Rows(x) if reads else None)


def _of_weights(
  copies: Copies,
  form: Form,
  weights: Weights | None,
  stack: jax.Array,
  shares: Shares,
) -> list[Any]:
  """The gradients of copies' weights as rows of the stacks."""
  if weights is None:
    return [None, None]
  own = form.of_vectors(weights.taps), form.of_matrices(weights.matrices)
  taps, matrices = shares.sum(own)
  return stacked(copies, taps, matrices, stack)

