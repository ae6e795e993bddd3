"""What all test modules share: programs are traced and compiled quickly.

Most of the time goes to making programs that run once.
"""

import gc
import os
import pathlib
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

# Folders whose tests share programs, each part about half of all the work.
_PARTS = (
  ('supernet', 'golden_test.py', 'methods', 'networks', 'operations'),
  ('docs_test.py', 'running', 'processes_test.py', 'launchers', 'reporting'),
)


def pytest_collection_modifyitems(items):
  """Two workers begin with a half of the tests each, the first and the second.

  So each begins with a part, and what one takes from the other's end later is
  of the rest, which shares no programs.
  """
  folder = pathlib.Path(__file__).parent
  by_part = [[], [], []]
  for item in items:
    name = item.path.relative_to(folder).parts[0]
    found = [i for i, names in enumerate(_PARTS) if name in names]
    by_part[(found or [2])[0]].append(item)
  first, second, rest = by_part
  # In the order in which the names stand.
  for part, names in zip((first, second), _PARTS):
    part.sort(
      key=lambda i, n=names: n.index(i.path.relative_to(folder).parts[0])
    )
  fill = max(0, len(items) // 2 - len(first))
  items[:] = first + rest[:fill] + second + rest[fill:]
