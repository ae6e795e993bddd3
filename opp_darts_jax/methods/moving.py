"""Whether a method moves its alphas: ever, and in the step before."""

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.errors import UserError
from opp_darts_jax.methods.method import Method, Progress
from opp_darts_jax.methods.stages import Search
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.spaces.space import Space


def check_trained(method: Method, space: Space, what: str) -> None:
  """Raises `UserError` if a method trains none of its alphas.

  Args:
    method: of a search.
    space: of it.
    what: needs them to be trained, for the message.
  """
  mask = jax.tree.map(jnp.asarray, space.mask())
  trained = method.trained(method.init(jax.random.key(0), space), mask)
  if not any(np.any(leaf) for leaf in jax.tree.leaves(trained)):
    raise UserError(
      f'{what} goes with methods that train alphas; {method.name} trains none.'
    )


def has_moved(method: Method, search: Search, state: SearchState) -> bool:
  """Whether the step before moved alphas; in a warm-up they rest."""
  if method.trains_alphas is None:
    return True
  step = state.step - 1
  at = Progress(step, step // search.per_epoch, search.config.epochs)
  return bool(method.trains_alphas(at))
