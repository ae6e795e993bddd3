"""What all test modules share: programs are traced and compiled quickly.

Most of the time goes to making programs that run once.
"""

import gc
import os
from importlib import metadata

# It is read when the first program is compiled, here and in processes that
# tests start. Later releases have no such flag, and refuse what they lack.
_FLAG = '--xla_cpu_use_fusion_emitters=false'
_FLAGS = os.environ.get('XLA_FLAGS', '')
if metadata.version('jaxlib').startswith('0.10.') and _FLAG not in _FLAGS:
  os.environ['XLA_FLAGS'] = f'{_FLAGS} {_FLAG}'

import jax  # noqa: E402

from opp_darts_jax.launchers.launch import keep_programs  # noqa: E402

keep_programs()
# Tracing makes objects that live on by the million: to look through them again
# and again, and to note for each where it came from, takes a fifth of its time.
gc.set_threshold(100_000, 20, 20)
jax.config.update('jax_traceback_in_locations_limit', 0)
jax.config.update('jax_disable_most_optimizations', True)
# Most of the tests' programs are small, and there are many of them.
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
