"""Products of copies and their derivatives, by the kernels for TPU.

Axes: as in form.py.
"""

from typing import Any

import jax
import jax.numpy as jnp

from opp_darts_jax.operations.accelerator.copies import Copies
from opp_darts_jax.operations.accelerator.lanes.arriving import Arriving
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
from opp_darts_jax.operations.accelerator.lanes.tables import copy_tables
from opp_darts_jax.operations.accelerator.products import given_slots


def of_share(
  missing: str, *args: Any, lists: Copies, size: Any, precision: str | None
) -> jax.Array:
  """As `accelerator.products.of_share`."""
  given = given_slots(missing, args, lists, size)
  batch, channels = given['z'].shape[1], given['z'].shape[-1]
  form = Form(batch, size, channels, lists.stride)
  tables = copy_tables(lists, args[-1] > 0)
  source = Rows(form.enter(given['z']))
  weights = Weights(form.vectors(given['k']), form.matrices(given['w']))
  if missing == 'g':
    y = run_copies(
      lists,
      form,
      source,
      weights,
      tables,
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
    Tables(tables, None, None, jnp.zeros(1)),
    Arriving(own=form.behind.enter(given['g'])),
    rectified=False,
    of_weights=missing != 'z',
    precision=precision,
  )
  if missing == 'z':
    return form.leave(found.x)
  if missing == 'k':
    return form.of_vectors(found.weights.taps)
  return form.of_matrices(found.weights.matrices)
