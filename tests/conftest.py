"""What several test modules share."""

import jax
import pytest

from opp_darts_jax.launchers.launch import keep_programs

keep_programs()
# Most of the tests' programs are small, and there are many of them.
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)


@pytest.fixture
def quick_compilation():
  """Most of the time would go to optimising programs that run once."""
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)
