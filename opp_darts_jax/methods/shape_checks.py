"""Shapes of what a user's functions give, and what is wrong with them.

Nothing is computed; what they raise, or give, becomes a sentence.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from opp_darts_jax.errors import UserError, first_line


def shapes(what: str, function: Callable[..., Any], *args: Any) -> Any:
  """Of what a user's function gives of arguments, or of their shapes."""
  return called(what, jax.eval_shape, function, *args)


def called(what: str, function: Callable[..., Any], *args: Any) -> Any:
  """What a user's function gives; a `UserError` of what it raises."""
  try:
    return function(*args)
  except UserError:
    raise
  except Exception as error:
    raise UserError(
      f'{what} raised {type(error).__name__}: {first_line(error)}.'
    ) from error


def shape_text(tree: Any) -> str:
  """Shapes, for a message."""
  if isinstance(tree, Mapping):
    pairs = (f'{name}: {shape_text(value)}' for name, value in tree.items())
    return '{' + ', '.join(pairs) + '}'
  shape = getattr(tree, 'shape', None)
  return type(tree).__name__ if shape is None else str(shape)


def mismatch(got: Any, like: Any, broadcast: bool = False) -> str:
  """Where shapes are not those of another tree; empty if they are.

  Args:
    got: the tree.
    like: the other.
    broadcast: whether shapes that broadcast to the other's are fine.
  """
  structure: Any = jax.tree.structure(like)
  if jax.tree.structure(got) != structure:
    return shape_text(got)
  for (path, leaf), other in zip(
    jax.tree.leaves_with_path(got), jax.tree.leaves(like)
  ):
    fits = leaf.shape == other.shape
    if broadcast and not fits:
      try:
        fits = jnp.broadcast_shapes(leaf.shape, other.shape) == other.shape
      except ValueError:
        fits = False
    if not fits:
      name = jax.tree_util.keystr(path)
      return f'{leaf.shape} for {other.shape} at {name}'
  return ''
