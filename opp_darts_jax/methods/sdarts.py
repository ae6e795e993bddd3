"""SmoothDARTS (Chen and Hsieh, "Stabilizing Differentiable Architecture Search
via Perturbation-based Regularization", ICML 2020).

DARTS, but that weights are trained at perturbed operation weights: by uniform
noise, U(-reach, reach) (SDARTS-RS), or by what raises the training loss most
within the same reach, found by ascent along signs of its gradient (SDARTS-ADV).
The alpha step and what is derived know no perturbation. The reach grows
linearly with the epochs.

Operation weights are perturbed, not alphas, and put back on the simplex as in
the authors' code, which may leave the box. Their space is without `none`:
`darts_without_none`.
"""

from typing import Any

import jax
import jax.numpy as jnp

from opp_darts_jax.errors import UserError
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.method import Draw, Gradients, Method, Progress
from opp_darts_jax.methods.tables import Tables

FIRST_REACH = 0.03


@memoized(8)
def sdarts_rs(reach: float = 0.3) -> Method:
  """Weights trained under uniform noise on the operation weights.

  Args:
    reach: of the noise, towards which it grows.
  """
  _check(reach)

  def weight_gradient(
    gradients: Gradients, tables: Tables, own: Any, draw: Draw
  ) -> tuple[Any, Any, Any]:
    radius = reach_of(draw.progress, reach)
    found, grads = gradients.weights(noisy(draw.key, tables, radius))
    return found, grads, own

  name = f'sdarts_rs(reach={reach})'
  return darts()._replace(name=name, weight_gradient=weight_gradient)


@memoized(8)
def sdarts_adv(reach: float = 0.3, ascent_steps: int = 7) -> Method:
  """Weights trained at the operation weights near by that are worst.

  Args:
    reach: how far off those are at most, towards which it grows.
    ascent_steps: of signs of the gradient, from a start at random.

  Raises:
    UserError: unless reach is at least 0, and ascent_steps 1.
  """
  _check(reach)
  if ascent_steps < 1:
    raise UserError(
      'sdarts_adv takes ascent_steps of at least 1; got '
      f'ascent_steps={ascent_steps!r}.'
    )

  def weight_gradient(
    gradients: Gradients, tables: Tables, own: Any, draw: Draw
  ) -> tuple[Any, Any, Any]:
    radius = reach_of(draw.progress, reach)
    worst = ascend(gradients, tables, radius, ascent_steps, draw.key)
    found, grads = gradients.weights(worst)
    return found, grads, own

  return darts()._replace(
    name=f'sdarts_adv(reach={reach}, ascent_steps={ascent_steps})',
    weight_gradient=weight_gradient,
  )


def _check(reach: float) -> None:
  if not reach >= 0:
    raise UserError(f'sdarts takes reach of at least 0; got reach={reach!r}.')


def reach_of(progress: Progress, reach: float) -> jax.Array:
  """From 0.03 in epoch 0 towards `reach`, linearly; never beyond it."""
  first = min(FIRST_REACH, reach)
  return first + (reach - first) * progress.epoch / progress.epochs


def on_simplex(table: jax.Array, before: jax.Array) -> jax.Array:
  """The table, clipped to [0, 1], with rows that sum to 1.

  Args:
    table: (..., K).
    before: of the same shape, what has been perturbed: what is 0 in it is not
      active and stays so. Of a row that is clipped to nothing, the entry that
      was largest is left.
  """
  active = before > 0
  clipped = jnp.where(active, jnp.clip(table, 0, 1), 0)
  strongest = jnp.where(active, table, -jnp.inf).argmax(-1)
  largest = jax.nn.one_hot(strongest, table.shape[-1])
  empty = clipped.sum(-1, keepdims=True) == 0
  clipped = jnp.where(empty & active, largest, clipped)
  return clipped / jnp.maximum(clipped.sum(-1, keepdims=True), 1e-12)


def noisy(key: jax.Array, tables: Tables, reach: jax.Array) -> Tables:
  """Uniform noise in [-reach, reach], on the simplex again.

  Without reach the tables are the same to the bit.
  """
  keys = jax.random.split(key, len(tables))

  def perturb(key, table):
    noise = jax.random.uniform(key, table.shape, minval=-1.0, maxval=1.0)
    return jnp.where(reach > 0, on_simplex(table + reach * noise, table), table)

  return {
    kind: perturb(own, table)
    for own, (kind, table) in zip(keys, tables.items())
  }


def ascend(
  gradients: Gradients,
  tables: Tables,
  reach: jax.Array,
  steps: int,
  key: jax.Array,
) -> Tables:
  """Projected gradient ascent of the training loss, by the running averages.

  Where it ends below the loss at the tables themselves, these are taken.
  """
  start = noisy(key, tables, reach)

  # One loop, so that the gradient is compiled once: it begins with the loss at
  # the tables and ends with that at what has been found.
  def turn(i, carry):
    at, clean, _ = carry
    loss, grads = gradients.evaluated(at)
    clean = jnp.where(i == 0, loss, clean)

    def step(moving, before, grad, first):
      moved = moving + 2 * reach / steps * jnp.sign(grad)
      moved = before + jnp.clip(moved - before, -reach, reach)
      moved = jnp.where(reach > 0, on_simplex(moved, before), before)
      return jnp.where(i == 0, first, jnp.where(i <= steps, moved, moving))

    return jax.tree.map(step, at, tables, grads, start), clean, loss

  nothing = jnp.zeros(())
  found, clean, last = jax.lax.fori_loop(
    0, steps + 2, turn, (tables, nothing, nothing)
  )
  return jax.tree.map(
    lambda worse, before: jnp.where(last < clean, before, worse), found, tables
  )
