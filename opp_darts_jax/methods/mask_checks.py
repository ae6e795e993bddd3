"""Whether a method's operation weights leave out what is not active.

Shapes do not tell: this alone is computed, of a few tables, before a search.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.errors import UserError
from opp_darts_jax.methods.loss import Task
from opp_darts_jax.methods.method import Draw
from opp_darts_jax.methods.shape_checks import called
from opp_darts_jax.methods.state import SearchState


def check_masked(task: Task, params: Any, supernet: SearchState | None) -> None:
  """Raises `UserError` unless weights are 0 where a mask is False.

  A supernet would compute and train what has not entered yet.

  Args:
    task: of a search, whose method gives tables of the right shapes.
    params: shapes of the method's parameters.
    supernet: shapes of a state, where the method may keep something of it.
  """
  method, space = task.method, task.space
  # Every second operation of an edge is off: a sample that goes by all of them
  # hits some.
  mask = {
    kind: mask_EK & (mask_EK.cumsum(1) % 2 == 1)
    for kind, mask_EK in space.mask().items()
  }
  on_device = jax.device_put(mask)
  numbers = np.random.default_rng(0)
  # Drawn here: to compile what `init` draws by would take a second.
  given = jax.tree.map(
    lambda leaf: numbers.uniform(0.1, 1, leaf.shape).astype(leaf.dtype), params
  )

  def tables() -> Any:
    own = None
    if supernet is not None:
      ones = jax.tree.map(
        lambda leaf: jnp.ones(leaf.shape, leaf.dtype), supernet.weights
      )
      own = method.init_own(space, ones)
    progress = task.progress(jnp.zeros((), jnp.int32))
    draw = Draw(jax.random.key(0), progress, task.cells, own)
    return method.weights(
      space, jax.tree.map(jnp.asarray, given), on_device, draw
    )

  what = f'The method {method.name!r}: weights'
  found = jax.device_get(called(what, jax.jit(tables)))
  for kind, mask_EK in mask.items():
    # Columns beside those of the space have no mask.
    own_columns = found[kind][..., : mask_EK.shape[1]]
    stray = np.argwhere((own_columns != 0) & ~mask_EK)
    if len(stray):
      at = tuple(stray[0])
      raise UserError(
        f'{what} must be 0 where the mask is False, of operations that are not '
        f'active; got {own_columns[at]:.3g} for {space.names[at[-1]]!r} on '
        f'edge {at[-2]} of a {kind} cell.'
      )
