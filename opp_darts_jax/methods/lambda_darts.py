"""Lambda-DARTS (Movahedi et al., "Lambda-DARTS: Mitigating Performance Collapse
by Harmonizing Operation Selection among Cells", ICLR 2023).

Cells share their alphas, yet the gradients g_l for the operation weights of
single cells may point apart. The weight step goes up their mean cosine too,
Lambda = mean_{l<m} cos(g_l, g_m): the gradient of Lambda for the weights is a
central difference of the training loss's gradient for them, along d Lambda /
d g in the operation weights. Its factor grows linearly.

As in the authors' code, the gradients are those of the training loss for
operation weights, and reduction cells have no part. Only the pass at the
operation weights themselves moves the running averages here, where the authors'
passes at both ends do so too. Their space is without `none`:
`darts_without_none`.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.pairs import REDUCE
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.method import Draw, Gradients, Method
from opp_darts_jax.methods.samples import linear
from opp_darts_jax.methods.tables import Tables, softmax_weights
from opp_darts_jax.spaces.space import Space

_TINY = 1e-12


@memoized(8)
def lambda_darts(strength: float = 0.125, reach: float = 1e-4) -> Method:
  """DARTS, whose weights make the cells agree.

  Args:
    strength: factor of Lambda in the last epoch; it begins at 0.
    reach: half of what the ends of the difference are apart.

  Raises:
    UserError: unless strength is at least 0 and reach above 0.
  """
  if not strength >= 0 or not reach > 0:
    raise UserError(
      'lambda_darts takes strength of at least 0 and reach above 0; got '
      f'strength={strength!r} and reach={reach!r}.'
    )

  def weights(space: Space, alphas: Tables, mask: Tables, draw: Draw) -> Tables:
    return {
      kind: jnp.broadcast_to(table, (draw.cells[kind], *table.shape))
      for kind, table in softmax_weights(space, alphas, mask).items()
    }

  def weight_gradient(
    gradients: Gradients, tables: Tables, own: Any, draw: Draw
  ) -> tuple[Any, Any, Any]:
    found, grads = gradients.weights(tables)
    towards = direction(gradients.tables(tables))
    norm = optax.tree.norm(towards)
    step = jnp.where(norm > 0, reach / jnp.maximum(norm, _TINY), 0.0)

    def end(sign):
      moved = jax.tree.map(lambda t, d: t + sign * step * d, tables, towards)
      return gradients.weights(moved)[1]

    # One after the other, so that the gradient is compiled once for both.
    ends = jax.lax.map(end, jnp.array([-1.0, 1.0]))
    factor = linear(draw.progress, 0.0, strength)
    factor = jnp.where(step > 0, factor / jnp.maximum(2 * step, _TINY), 0.0)
    grads = jax.tree.map(lambda g, e: g + factor * (e[0] - e[1]), grads, ends)
    return found, grads, own

  return darts()._replace(
    name=f'lambda_darts(strength={strength}, reach={reach})',
    weights=weights,
    weight_gradient=weight_gradient,
  )


def mean_cosine(gradients: jax.Array) -> jax.Array:
  """Lambda: the mean cosine of any two of (L, E, K), L at least 2."""
  count = len(gradients)
  flat = gradients.reshape(count, -1)
  lengths = jnp.sqrt((flat**2).sum(1, keepdims=True) + _TINY**2)
  units = flat / lengths
  total = (units.sum(0) ** 2).sum() - (units**2).sum()
  return total / (count * (count - 1))


def direction(gradients: Tables) -> Tables:
  """The gradient of Lambda for the cells' gradients; 0 where it has no part."""
  return {
    kind: jax.grad(mean_cosine)(table)
    if kind != REDUCE and len(table) > 1
    else jnp.zeros_like(table)
    for kind, table in gradients.items()
  }
