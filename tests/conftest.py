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

# The size of XLA's pools of threads. One is enough to compute and compile such
# small programs; more of them fight for the cores that the workers have.
os.environ.setdefault('NPROC', '1')

import jax  # noqa: E402
import pytest  # noqa: E402
import toy_supernet  # noqa: E402

from opp_darts_jax.launchers.launch import keep_programs  # noqa: E402

keep_programs()
# Tracing makes objects that live on by the million: to look through them again
# and again, and to note for each where it came from, takes a fifth of its time.
gc.set_threshold(100_000, 20, 20)
jax.config.update('jax_traceback_in_locations_limit', 0)
jax.config.update('jax_disable_most_optimizations', True)
# To write a program takes a fifth of its compiling, and small ones are hardly
# ever asked for again.
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)

# Folders whose tests share programs, each part about a third of all the work.
_PARTS = (
  ('supernet', 'golden_test.py', 'operations'),
  ('processes_test.py', 'api_test.py', 'docs_test.py', 'launchers', 'running'),
  ('methods', 'networks'),
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
  """One more than there are cores: some tests wait for what they start."""
  return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items):
  """Three workers begin with a third of the tests each, and with a part of it.

  So what one takes from another's end later is of the rest, which shares no
  programs and is quickly done.
  """
  folder = pathlib.Path(__file__).parent
  by_part = [[] for _ in (*_PARTS, 'rest')]
  for item in items:
    name = item.path.relative_to(folder).parts[0]
    found = [i for i, names in enumerate(_PARTS) if name in names]
    by_part[(found or [-1])[0]].append(item)
  *parts, rest = by_part
  ordered = []
  for number, (part, names) in enumerate(zip(parts, _PARTS), 1):
    # In the order in which the names stand.
    part.sort(
      key=lambda i, n=names: n.index(i.path.relative_to(folder).parts[0])
    )
    ordered += part
    fill = max(0, len(items) * number // len(_PARTS) - len(ordered))
    ordered += rest[:fill]
    rest = rest[fill:]
  items[:] = ordered + rest


@pytest.fixture(scope='module')
def toys():
  """Searches of the module have small networks in place of supernets."""
  with toy_supernet.in_place_of_supernets():
    yield
