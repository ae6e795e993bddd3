"""The spaces that ship with the package, by name."""

from collections.abc import Mapping

from opp_darts_jax import naming
from opp_darts_jax.errors import UserError
from opp_darts_jax.spaces import darts, nasbench201, robust
from opp_darts_jax.spaces.space import Space

SPACES: Mapping[str, Space] = {
  space.name: space
  for space in (
    darts.DARTS,
    darts.DARTS_WITHOUT_NONE,
    robust.S1,
    robust.S2,
    robust.S3,
    robust.S4,
    nasbench201.NASBENCH201,
  )
}


def get_space(name: str, nodes: int = 0) -> Space:
  """The space of that name, of the package or a user's own (see naming.py).

  Args:
    name: of it.
    nodes: intermediate nodes of its cells; 0 is its own number.

  Raises:
    UserError: if there is none, or it has not so many nodes.
  """
  space = naming.find('search space', name, SPACES)
  if not isinstance(space, Space):
    raise UserError(f'Expected a Space as {name}, got {type(space).__name__}.')
  return space.with_nodes(nodes)
