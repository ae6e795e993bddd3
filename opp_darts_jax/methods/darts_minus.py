"""DARTS- (Chu et al., "DARTS-: Robustly Stepping out of Performance Collapse
Without Indicators", ICLR 2021).

An auxiliary skip connection beside the operations of every edge takes over what
skip connections do for training, so that the searched one competes for its own
sake: an edge is sum_o p_o o(x) + beta x, and beta falls to about 0. It is not
derived. At stride 2 it is a factorized reduction with weights of its own.

The authors draw validation batches from a generator that goes on through an
epoch; here, as in all methods, every epoch has its own order.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from opp_darts_jax.errors import UserError, check_choice
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.method import Draw, Method, Progress
from opp_darts_jax.methods.tables import Tables, softmax_weights
from opp_darts_jax.operations.plain import skip_connect
from opp_darts_jax.spaces.space import Space

AUXILIARY = 'auxiliary_skip'
DECAYS = ('linear', 'cosine', 'slow_cosine', 'none')


@memoized(8)
def darts_minus(start: float = 1.0, decay: str = 'linear') -> Method:
  """DARTS with an auxiliary skip connection.

  Args:
    start: its weight in the first epoch.
    decay: how that falls, of `DECAYS`.

  Raises:
    UserError: unless start is at least 0 and decay one of them.
  """
  check_choice('decay of darts_minus', decay, DECAYS)
  if not start >= 0:
    raise UserError(
      f'darts_minus takes start of at least 0; got start={start!r}.'
    )

  def weights(space: Space, alphas: Tables, mask: Tables, draw: Draw) -> Tables:
    beside = start * share(draw.progress, decay)
    return {
      kind: jnp.concatenate(
        [table, jnp.broadcast_to(beside, (len(table), 1))], 1
      )
      for kind, table in softmax_weights(space, alphas, mask).items()
    }

  return darts()._replace(
    name=f'darts_minus(start={start}, decay={decay!r})',
    weights=weights,
    prepare=with_auxiliary,
  )


def with_auxiliary(space: Space) -> Space:
  """The space with the auxiliary skip on every edge, after all operations."""
  auxiliary = skip_connect()._replace(name=AUXILIARY)
  candidates = tuple(
    (kind, tuple((*row, AUXILIARY) for row in rows))
    for kind, rows in dict(space.candidates).items()
  )
  return dataclasses.replace(
    space,
    operations=(*space.operations, auxiliary),
    candidates=candidates,
  )


def share(progress: Progress, decay: str) -> jax.Array:
  """The auxiliary skip's weight in an epoch, as a share of its first."""
  done = jnp.asarray(progress.epoch / progress.epochs, float)
  if decay == 'linear':
    return 1 - done
  if decay == 'cosine':
    return (1 + jnp.cos(math.pi * done)) / 2
  if decay == 'slow_cosine':
    return jnp.cos(math.pi * done / 2)
  return jnp.ones_like(done)
