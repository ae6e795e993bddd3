"""Whether the fields of a `Space` are of their types, and fit each other."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from opp_darts_jax import errors
from opp_darts_jax.genotypes.graph import CellGraph
from opp_darts_jax.operations.catalogue import OPERATIONS
from opp_darts_jax.operations.operation import Operation
from opp_darts_jax.spaces.skeleton import Skeleton

if TYPE_CHECKING:
  from opp_darts_jax.spaces.space import Space

_LISTS = {'operations': Operation, 'further': Operation, 'kinds': str}
_FUNCTIONS = ('derive', 'to_text')
_FUNCTIONS_OR_NONE = ('from_text', 'truth')


def tuples(space: 'Space') -> dict[str, Any]:
  """The fields of a space that may be lists, as tuples; candidates as pairs.

  Raises:
    UserError: if one is something else.
  """
  found: dict[str, Any] = {}
  for name, kind in _LISTS.items():
    given = getattr(space, name)
    parts = given if isinstance(given, (tuple, list)) else [None]
    if not all(isinstance(part, kind) for part in parts):
      raise errors.UserError(
        f'Expected {name} of space {space.name!r} as a tuple of '
        f'{kind.__name__}, got {given!r}.'
      )
    found[name] = tuple(given)
  try:
    found['candidates'] = tuple(
      (kind, tuple(map(_row, rows)))
      for kind, rows in dict(space.candidates).items()
    )
  except (TypeError, ValueError) as error:
    raise errors.UserError(
      f'Expected candidates of space {space.name!r} as {{kind: ((operation, '
      f'...) of each edge)}}, got {space.candidates!r}.'
    ) from error
  return found


def _row(names: Iterable[str]) -> tuple[str, ...]:
  """The operations of an edge; a name alone is no list of them."""
  if isinstance(names, str):
    raise TypeError
  return tuple(names)


def check(space: 'Space') -> None:
  """Raises `UserError` as `Space` says; its lists are tuples by now."""
  _check_types(space)
  _check_operations(space)
  for node in space.graph.intermediate:
    if not space.graph.into(node):
      raise errors.UserError(
        f'Expected edges into every intermediate node of space '
        f'{space.name!r}, got none into node {node}.'
      )
  planned = {p.kind for p in space.skeleton.plan(6, 2, False) if p.kind}
  if not planned <= set(space.kinds):
    raise errors.UserError(
      f'Expected kinds of space {space.name!r} to have all that its skeleton '
      f'puts together, {", ".join(sorted(planned))}; got '
      f'{", ".join(space.kinds)}.'
    )
  _check_candidates(space)


def _check_types(space: 'Space') -> None:
  errors.check_type('the name of a space', space.name, str)
  for name, kind in (('graph', CellGraph), ('skeleton', Skeleton)):
    if not isinstance(getattr(space, name), kind):
      raise errors.UserError(
        f'Expected a {kind.__name__} as {name} of space {space.name!r}, got '
        f'{getattr(space, name)!r}.'
      )
  for name in (*_FUNCTIONS, *_FUNCTIONS_OR_NONE):
    given = getattr(space, name)
    if not callable(given) and (name in _FUNCTIONS or given is not None):
      raise errors.UserError(
        f'Expected a function as {name} of space {space.name!r}, got {given!r}.'
      )
  if len(set(space.kinds)) < len(space.kinds):
    raise errors.UserError(
      f'Expected different kinds of space {space.name!r}, got {space.kinds}.'
    )


def _check_operations(space: 'Space') -> None:
  for operation in (*space.operations, *space.further):
    if not isinstance(operation.name, str) or not operation.name:
      raise errors.UserError(
        f'Expected a text as the name of every operation of space '
        f'{space.name!r}, got {operation.name!r}.'
      )
  for name in space.names:
    if space.names.count(name) > 1:
      raise errors.UserError(
        f'Expected every operation of space {space.name!r} once, but '
        f'{name!r} is given {space.names.count(name)} times.'
      )
  if not any(operation.parametric for operation in space.operations):
    valid = ', '.join(n for n, o in OPERATIONS.items() if o.parametric)
    raise errors.UserError(
      f'Expected at least one parametric operation in space {space.name!r}, '
      f'got {space.names}; parametric are: {valid}, and your own that say '
      'parametric=True.'
    )


def _check_candidates(space: 'Space') -> None:
  edges = space.graph.num_edges
  for kind, rows in dict(space.candidates).items():
    errors.check_choice(f'kind of cell in {space.name!r}', kind, space.kinds)
    if len(rows) != edges:
      raise errors.UserError(
        f'Expected the operations of all {edges} edges of a {kind} cell of '
        f'space {space.name!r}, got those of {len(rows)}.'
      )
    for name in (name for row in rows for name in row):
      errors.check_choice(
        f'operation of space {space.name!r}', name, space.names
      )
    for node in space.graph.intermediate:
      if not any(rows[row] for row in space.graph.into(node)):
        raise errors.UserError(
          f'Expected operations on an edge into every node of a {kind} cell of '
          f'space {space.name!r}, got none into node {node}.'
        )
