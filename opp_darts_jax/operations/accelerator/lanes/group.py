"""The kernels for TPU of a group's edges, one after the other.

Axes: as in form.py; P places of operation weights.
"""

from typing import Any

import jax
import jax.numpy as jnp

from opp_darts_jax.operations.accelerator.copies import Copies
from opp_darts_jax.operations.accelerator.edges import Edges
from opp_darts_jax.operations.accelerator.group import NUM_ARGS, of_places
from opp_darts_jax.operations.accelerator.lanes.activity import tables_of
from opp_darts_jax.operations.accelerator.lanes.arriving import Arriving
from opp_darts_jax.operations.accelerator.lanes.backward import gradients
from opp_darts_jax.operations.accelerator.lanes.form import Form, vectors
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
from opp_darts_jax.operations.accelerator.shares import Shares
from opp_darts_jax.operations.norm import wide_type


def forward(
  *args: Any,
  lists: Edges,
  form: Form,
  precision: str | None,
  shares: Shares,
) -> list[jax.Array]:
  """The sums, then rows and moments of both lists, and what places see.

  All of a share of the batch.

  Args:
    *args: sources (S, T, R, I, L), four stacks of weights for every pixel of a
      block, weights of operations, and a mask of these; moments of both lists,
      (N, 2, C), if those of the batch are not wanted.
    lists: the edges.
    form: of the sources.
    precision: of the products of float32.
    shares: of the batch.
  """
  x, k1, w1, k2, w2, weights, mask, *moments = args
  tables = tables_of(lists, weights.astype(wide_type(x)), mask)

  def run(
    copies: Copies,
    form: Form,
    source: Rows,
    taps: Any,
    matrices: Any,
    number: int,
  ) -> Rows:
    found = run_copies(
      copies,
      form,
      source,
      Weights(taps, matrices),
      tables,
      number,
      moments=not moments,
      precision=precision,
    )
    if moments:
      return found._replace(moments=vectors(moments[number]))
    merged = shares.merged(found.moments[:, 0], found.moments[:, 1])
    return found._replace(moments=jnp.stack(merged, 1))

  y1 = run(lists.first, form, Rows(x), k1, w1, 0)
  results = _kept(y1)
  y2 = None
  if lists.second:
    y2 = run(lists.second, form.behind, y1, k2, w2, 1)
    results += _kept(y2)
  given = Given(y1, y2, Rows(x) if tables.reads_sources else None)
  return [sum_terms(lists, given, tables), *results, tables.seen]


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
  g = args[-1]
  y1 = _rows(*kept[:2])
  y2 = _rows(*kept[2:4]) if lists.second else None
  tables = tables_of(lists, weights.astype(wide_type(x)), mask, kept[-1])
  given = Given(y1, y2, Rows(x) if tables.reads_sources else None)
  sums = shares.sum_of_norm(term_sums(lists, form.behind, given, tables, g))
  found: list[Any] = [None] * NUM_ARGS
  if moves[5]:
    found_T = sums[:, 2, : form.channels].sum(1)
    found[5] = shares.sum_of_norms(of_places(lists, found_T))
  if any(moves[:5]):
    arriving = Arriving(rows=y1, g=g, sums=sums)
    if lists.second:
      assert y2 is not None
      back = gradients(
        lists.second,
        form.behind,
        y1,
        Weights(k2, w2),
        tables,
        1,
        arriving._replace(rows=y2),
        of_weights=moves[3] or moves[4],
        precision=precision,
      )
      if back.weights is not None:
        found[3:5] = shares.sum(list(back.weights))
      arriving = arriving._replace(
        second=back.x, second_sums=shares.sum_of_norm(back.sums)
      )
    back = gradients(
      lists.first,
      form,
      Rows(x),
      Weights(k1, w1),
      tables,
      0,
      arriving,
      of_weights=moves[1] or moves[2],
      precision=precision,
    )
    if back.weights is not None:
      found[1:3] = shares.sum(list(back.weights))
    found[0] = back.x
  return [
    t if t is not None else jnp.zeros_like(arg)
    for t, by, arg in zip(found, moves, args)
    if by
  ]


def _kept(rows: Rows) -> list[jax.Array]:
  """Rows and moments, with an axis of the devices that have their own."""
  return [rows.x, rows.moments[:, :, None]]


def _rows(x: jax.Array, moments: jax.Array) -> Rows:
  return Rows(x, moments[:, :, 0])
