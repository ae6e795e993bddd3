"""Products of copies and their derivatives, by the kernels for TPU.

Axes: as in form.py.
"""

from typing import Any

import jax
import jax.numpy as jnp

from opp_darts_jax.operations.accelerator.copies import Copies
from opp_darts_jax.operations.accelerator.edges import FIRST, Edges, Term
from opp_darts_jax.operations.accelerator.lanes.activity import tables_of
from opp_darts_jax.operations.accelerator.lanes.arriving import Arriving
from opp_darts_jax.operations.accelerator.lanes.backward import gradients
from opp_darts_jax.operations.accelerator.lanes.form import (
  Form,
  matrices,
  of_matrices,
  of_vectors,
  vectors,
)
from opp_darts_jax.operations.accelerator.lanes.forward import (
  Rows,
  Weights,
  run_copies,
)
from opp_darts_jax.operations.accelerator.products import given_slots


def of_share(
  missing: str, *args: Any, lists: Copies, size: Any, precision: str | None
) -> jax.Array:
  """As `accelerator.products.of_share`."""
  given = given_slots(missing, args, lists, size)
  batch, channels = given['z'].shape[1], given['z'].shape[-1]
  form = Form(batch, size, channels, lists.stride)
  # Each copy has a term of its own, which says whether it is active.
  count = len(lists.copies)
  terms = tuple(Term(FIRST, i, 0, i) for i in range(count))
  edges = Edges(lists, None, terms, 1, count)
  tables = tables_of(edges, jnp.ones(count), args[-1])
  source = Rows(form.enter(given['z']))
  weights = Weights(vectors(given['k']), matrices(given['w']))
  if missing == 'g':
    y = run_copies(
      lists,
      form,
      source,
      weights,
      tables,
      0,
      rectified=False,
      moments=False,
      precision=precision,
    ).x
    # Nothing was written where copies rest.
    used = (args[-1] > 0)[:, None, None, None, None]
    return jnp.where(used, form.behind.leave(y), 0)
  found = gradients(
    lists,
    form,
    source,
    weights,
    tables,
    0,
    Arriving(own=form.behind.enter(given['g'])),
    rectified=False,
    of_weights=missing != 'z',
    precision=precision,
  )
  if missing == 'z':
    return form.leave(found.x)
  assert found.weights is not None
  if missing == 'k':
    return of_vectors(found.weights.taps, channels)
  return of_matrices(found.weights.matrices, channels)
