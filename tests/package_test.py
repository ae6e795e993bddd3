"""The public names, and what importing them costs."""

import ast
import importlib
import inspect
import pathlib
import subprocess
import sys

import pytest

import opp_darts_jax

NAME = opp_darts_jax.__name__
STUB = pathlib.Path(opp_darts_jax.__file__).with_suffix('.pyi')
PACKAGES = ('benchmarks',)
CONSTANTS = ('GENOTYPES', 'METHODS', 'OPERATIONS', 'SCHEDULES', 'SPACES')
# What a search imports when it is asked for, and what only some searches need.
SEARCHES = ('jax', 'numpy', 'flax', 'optax', 'orbax', 'absl')
HEAVY = (*SEARCHES, 'jax.experimental.pallas', 'scipy.stats', 'sklearn')


def loaded_after(program):
  """Which of the heavy packages a fresh process has after a program."""
  program += f'\nimport sys\nprint(*[n for n in {HEAVY} if n in sys.modules])'
  done = subprocess.run(
    [sys.executable, '-c', program], capture_output=True, text=True, check=True
  )
  return done.stdout.split()


def test_importing_the_package_loads_next_to_nothing():
  assert loaded_after('import opp_darts_jax') == []
  # Neither do the version and the configs, which say what there is to do.
  assert (
    loaded_after(
      'import opp_darts_jax\n'
      'opp_darts_jax.__version__, opp_darts_jax.SearchConfig(epochs=3)\n'
      'dir(opp_darts_jax)'
    )
    == []
  )
  assert loaded_after('from opp_darts_jax import search') == [*SEARCHES]


def stub_imports():
  """{public name: (module, its name there)} as the stub says."""
  tree = ast.parse(STUB.read_text())
  return {
    alias.asname: ('.'.join(filter(None, (NAME, node.module))), alias.name)
    for node in tree.body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
  }


def test_the_stub_has_every_public_name():
  imports = stub_imports()
  assert sorted(imports) == sorted(opp_darts_jax.__all__)
  assert set(dir(opp_darts_jax)) >= set(imports)
  # Type checkers take a name as public that is imported as itself.
  assert all(own == name for own, (_, name) in imports.items())
  assert '__version__: str' in STUB.read_text()


@pytest.mark.parametrize('name', sorted(opp_darts_jax.__all__))
def test_every_name_is_there_and_says_what_it_is(name):
  value = getattr(opp_darts_jax, name)
  module, own = stub_imports()[name]
  assert getattr(importlib.import_module(module), own) is value
  if name in CONSTANTS:
    assert all(isinstance(key, str) for key in value)
    assert value
    return
  if name in PACKAGES:
    assert value.__name__ == f'{NAME}.{name}'
  else:
    assert value.__module__.startswith(f'{NAME}.')
  doc = inspect.getdoc(value)
  assert doc
  assert doc.split('\n')[0].endswith('.')
  # What a NamedTuple or dataclass would say of itself without one.
  assert not doc.startswith(f'{name}(')


def test_there_is_nothing_else():
  with pytest.raises(AttributeError, match='nope'):
    _ = opp_darts_jax.nope
