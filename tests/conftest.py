"""What several test modules share."""

import jax
import pytest


@pytest.fixture
def quick_compilation():
  """Most of the time would go to optimising programs that run once."""
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)
