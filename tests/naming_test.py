"""Tests of the names in configs."""

import sys

import pytest

from opp_darts_jax import naming
from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.methods.catalogue import (
  configured_method,
  get_method,
)
from opp_darts_jax.methods.method import Method
from opp_darts_jax.spaces.catalogue import get_space

KNOWN = {'one': 1, 'two': 2}


def pair(first=1, second='x'):
  return first, second


MAKERS = {'pair': pair, 'none': lambda: None}

OWN = """
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.operations.catalogue import named
from opp_darts_jax.spaces.space import Space

loaded = []
SPACE = Space('mine', named('skip_connect', 'sep_conv_3x3'))
METHOD = darts()._replace(name='mine')


def method(rate=1.0):
  return darts()._replace(name=f'mine at {rate}')


def schedule(method, config):
  return method._replace(name=f'slow {method.name}, {config.stage_epochs}')
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """A working folder with a file and a package of a user."""
  (tmp_path / 'own_file.py').write_text(OWN)
  package = tmp_path / 'own_package_of_tests'
  package.mkdir()
  (package / '__init__.py').write_text('')
  (package / 'inner.py').write_text(OWN)
  monkeypatch.chdir(tmp_path)
  before = set(sys.modules)
  yield tmp_path
  for name in set(sys.modules) - before:
    if name.startswith('own_'):
      del sys.modules[name]


def test_known_names():
  assert naming.find('number', 'two', KNOWN) == 2
  assert naming.make('pair', 'pair', MAKERS) == (1, 'x')
  assert naming.make('pair', ' pair() ', MAKERS) == (1, 'x')


@pytest.mark.parametrize('name', ['three', '', 'one:', ':one', 'a b'])
def test_unknown_names_list_the_valid_ones(name):
  with pytest.raises(
    UserError,
    match=rf'Unknown number {name!r}; valid are: one, two, or your own as '
    'MODULE:NAME or FILE.py:NAME',
  ):
    naming.find('number', name, KNOWN)


@pytest.mark.parametrize(
  'place', ['own_file.py', 'own_file', 'own_package_of_tests.inner']
)
def test_a_users_own(folder, place):
  path = list(sys.path)
  space = get_space(f'{place}:SPACE')
  assert space.name == 'mine'
  # It stays the same object: compiled functions are kept by it.
  assert get_space(f'{place}:SPACE') is space
  assert get_space(f'{place}:SPACE', nodes=2).graph.nodes == 2
  assert sys.path == path
  assert get_method(f'{place}:METHOD').name == 'mine'
  assert get_method(f'{place}:method').name == 'mine at 1.0'
  assert get_method(f'{place}:method(rate=-2)').name == 'mine at -2'


def test_files_are_told_apart_by_their_path(folder):
  other = folder / 'deep'
  other.mkdir()
  (other / 'own_file.py').write_text(OWN.replace("'mine'", "'other'"))
  assert get_space('own_file.py:SPACE').name == 'mine'
  assert get_space(f'{other}/own_file.py:SPACE').name == 'other'
  assert get_space('./own_file.py:SPACE') is get_space('own_file.py:SPACE')


def test_a_users_own_schedule(folder):
  config = SearchConfig(
    method='pc_darts(partial=2)',
    schedule=ScheduleConfig('own_file.py:schedule', stage_epochs=7),
  )
  name = configured_method(config).name
  assert name == 'slow pc_darts(partial=2, warmup_epochs=15), 7'


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('own_file.py:OTHER', 'Expected OTHER in own_file.py, as the search space'),
    ('none.py:SPACE', 'Could not import none.py, which the search space is to'),
    (
      'no_such_module:SPACE',
      'Could not import no_such_module.*: No module nam',
    ),
    ('own_file.py:loaded', 'Expected a Space as own_file.py:loaded, got list'),
  ],
)
def test_what_is_not_there(folder, name, message):
  with pytest.raises(UserError, match=message):
    get_space(name)


def test_a_file_that_fails_is_tried_again(folder):
  file = folder / 'own_late.py'
  file.write_text("raise ImportError('not yet')")
  with pytest.raises(UserError, match='own_late.py.*: not yet'):
    get_space('own_late.py:SPACE')
  file.write_text(OWN)
  assert get_space('own_late.py:SPACE').name == 'mine'


def test_arguments_are_literals():
  text = "pair(first=[1, -2.5, {'a': None}], second=('b', True))"
  assert naming.make('pair', text, MAKERS) == (
    [1, -2.5, {'a': None}],
    ('b', True),
  )
  assert naming.split_call('pair', text)[0] == 'pair'


@pytest.mark.parametrize(
  'arguments',
  [
    '__import__("os").getcwd()',
    'first=__import__("os").getcwd()',
    'first=print(1)',
    'first=a',
    'first=[x for x in (1,)]',
    'first={[]: 1}',
    'first=1)(second=2',
    'first=1).second(',
    'first=1); print(1',
    '1',
    '*[1]',
    'first=1, first=2',
    'first=',
  ],
)
def test_anything_else_is_never_evaluated(arguments, capsys):
  with pytest.raises(UserError, match=r'Expected a pair as NAME or NAME\(fiel'):
    naming.make('pair', f'pair({arguments})', MAKERS)
  assert not capsys.readouterr().out


@pytest.mark.parametrize('text', ['pair(', 'pair(first=1', 'pair(first=1) x'])
def test_broken_calls(text):
  with pytest.raises(UserError, match='Expected a pair as NAME or NAME'):
    naming.make('pair', text, MAKERS)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('pair(third=1)', r"Unfit arguments in the pair 'pair\(third=1\)': .*thir"),
    ('pair(third=1)', 'pair takes: first, second'),
    ("pair(**{'third': 1})", 'pair takes: first, second'),
    ('none(first=1)', 'none takes: none'),
    ('four(first=1)', "Unknown pair 'four'; valid are: pair, none"),
  ],
)
def test_unfit_arguments(text, message):
  with pytest.raises(UserError, match=message):
    naming.make('pair', text, MAKERS)


@pytest.mark.parametrize(
  ('text', 'sentence'),
  [
    ('gdas(temperature="x")', "temperature of the method 'gdas.*of type float"),
    ('drnas(partial=1.5)', 'must be of type int; got 1.5, of type float'),
    ('darts_pt(holds_alphas=None)', 'must be of type bool; got None'),
    ('oles(window=True)', 'must be of type int; got True'),
    ('p_darts(keep=3)', 'must be a tuple; got 3'),
    ('p_darts(dropout=(0, "x", 0.5))', "of type float; got 'x'"),
  ],
)
def test_arguments_are_of_the_types_that_are_said(text, sentence):
  with pytest.raises(UserError, match=sentence):
    get_method(text)


def test_a_whole_number_stays_one_where_any_number_is_taken():
  # A run is found again by the name of its method.
  name = get_method('beta_darts(strength=1)').name
  assert name == 'beta_darts(strength=1)'


def test_a_method_itself_takes_no_arguments(folder):
  with pytest.raises(UserError, match='to be a function, .* got Method'):
    get_method('own_file.py:METHOD(rate=2)')


def test_methods_of_the_package():
  assert isinstance(get_method('darts'), Method)
  name = 'pc_darts(partial=1, warmup_epochs=0)'
  assert get_method(name).name == name
  with pytest.raises(UserError, match="method 'gdaz'; valid are: darts, pc_da"):
    get_method('gdaz')
  with pytest.raises(UserError, match='darts takes: none'):
    get_method('darts(partial=2)')


@pytest.mark.parametrize(
  ('text', 'sentence'),
  [
    ('VALUE = = 3', 'SyntaxError: invalid syntax'),
    ('import sys\nsys.nope', 'AttributeError at line 2: module .sys. has no'),
    ('VALUE = 1 / 0', 'ZeroDivisionError at line 1: division by zero'),
    ('import no_such_module', 'ModuleNotFoundError at line 1: No module named'),
    ('raise SystemExit(3)', 'SystemExit at line 1: 3'),
  ],
)
def test_what_a_file_raises_is_a_sentence(tmp_path, text, sentence):
  (tmp_path / 'broken.py').write_text(text)
  wanted = (
    f'Could not import .*broken.py, which the number .*: {sentence}.*\\.$'
  )
  # Nothing of it is kept: it may have been mended the next time.
  for _ in range(2):
    with pytest.raises(UserError, match=wanted):
      naming.find('number', f'{tmp_path}/broken.py:VALUE', {})


def test_what_a_users_function_raises_is_a_sentence(tmp_path):
  path = tmp_path / 'raises.py'
  path.write_text('def number(of):\n  return {}[of]\n')
  with pytest.raises(
    UserError, match=r"Could not make the number .* KeyError at line 2: 'a'\.$"
  ):
    naming.make('number', f'{path}:number(of="a")', {})

  def known(of):
    return {}[of]

  # One of the package's is a fault of the package.
  with pytest.raises(KeyError):
    naming.make('number', 'known(of="a")', {'known': known})


def test_a_file_finds_what_lies_beside_it(
  folder, tmp_path_factory, monkeypatch
):
  beside = tmp_path_factory.mktemp('beside')
  (beside / 'neighbour_of_mine.py').write_text('VALUE = 3\n')
  (beside / 'mine.py').write_text('from neighbour_of_mine import VALUE\n')
  before = list(sys.path)
  assert naming.find('number', f'{beside}/mine.py:VALUE', {}) == 3
  assert sys.path == before
