"""The one exception for wrong input: a sentence that launchers print."""

from collections.abc import Iterable


class UserError(ValueError):
  """Wrong input: what was expected, what came, what is valid."""


def check_choice(what: str, value: object, choices: Iterable[object]) -> None:
  """Raises `UserError` naming the valid choices unless `value` is one."""
  choices = list(choices)
  if value not in choices:
    valid = ', '.join(str(choice) for choice in choices)
    raise UserError(f'Unknown {what} {value!r}; valid are: {valid}.')
