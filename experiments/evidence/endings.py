"""How the scripts of this folder end where they cannot go on."""

import contextlib
import sys
from collections.abc import Iterator

from opp_darts_jax import errors


@contextlib.contextmanager
def in_a_sentence() -> Iterator[None]:
  """Ends the process by a sentence where the user is to do something."""
  try:
    yield
  except errors.UserError as error:
    raise SystemExit(f'error: {error}') from error
  except errors.NotFinished as error:
    print(f'stopped: {error}', file=sys.stderr)
    raise SystemExit(error.exit_code) from error
