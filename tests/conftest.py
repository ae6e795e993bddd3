"""What several test modules share."""

import jax
import pytest

from opp_darts_jax.launch import keep_programs

keep_programs()


@pytest.fixture
def quick_compilation():
  """Most of the time would go to optimising programs that run once."""
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)
