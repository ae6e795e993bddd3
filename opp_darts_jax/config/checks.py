"""What a field of a config must be, told in one sentence."""

from collections.abc import Callable
from typing import Any

from opp_darts_jax.errors import UserError


def require(
  value: Any, name: str, holds: Callable[[Any], Any], what: str
) -> None:
  """Raises `UserError`, that the field must be `what`, unless it holds."""
  if not holds(value):
    raise UserError(f'{name} must be {what}; got {value!r}.')


def at_least(config: Any, name: str, least: int, prefix: str = '') -> None:
  """Raises `UserError` if a field of the config is below `least`."""
  value = getattr(config, name)
  require(value, prefix + name, lambda v: v >= least, f'at least {least}')
