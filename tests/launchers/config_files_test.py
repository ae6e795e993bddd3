"""Configs by name and by file."""

import textwrap

import pytest

from opp_darts_jax.config import SearchConfig, TrainConfig
from opp_darts_jax.config.fields import as_json
from opp_darts_jax.errors import UserError
from opp_darts_jax.launchers import config_files, run_flags, sweep_flags

OWN = """
  from opp_darts_jax.launchers.configs import digits

  def get_config(part='search'):
    config = digits.get_config(part)
    config.seed = 5
    return config
"""


@pytest.fixture
def own(tmp_path):
  """The path of a user's file, named as a config of the package is."""
  path = tmp_path / 'cifar10.py'
  path.write_text(textwrap.dedent(OWN))
  return path


def test_name_and_variant():
  assert config_files.load('digits').epochs == 24
  assert config_files.load('digits:train').epochs == 25


def test_file_and_variant(own):
  config = SearchConfig.from_dict(config_files.load(str(own)).to_dict())
  assert (config.seed, config.data.source) == (5, 'digits')
  assert config_files.load(f'{own}:train').genotype


def test_a_file_in_the_home_folder(own, monkeypatch):
  monkeypatch.setenv('HOME', str(own.parent))
  assert config_files.load('~/cifar10.py').seed == 5
  (fields,) = sweep_flags.fields_of(['~/cifar10.py'], train=False).values()
  assert fields['search']['seed'] == 5


def test_name_is_not_taken_from_the_folder(own, monkeypatch):
  monkeypatch.chdir(own.parent)
  assert config_files.load('cifar10').seed == 0
  assert config_files.load('cifar10.py').seed == 5


def test_each_time_a_new_config():
  config_files.load('digits').seed = 5
  assert config_files.load('digits').seed == 0


@pytest.mark.parametrize(
  'config', ['digit', '', 'no/digits:train', '__init__', 'setup.cfg']
)
def test_unknown_configs_are_told_the_names(config):
  name = config.partition(':')[0]
  names = ', '.join(config_files.names())
  with pytest.raises(UserError) as error:
    config_files.load(config)
  assert str(error.value) == (
    f"Unknown config '{name}'; valid are: {names}, or the path of a .py file."
  )


def test_file_without_get_config(own):
  own.write_text('')
  with pytest.raises(UserError, match=f'a function get_config in {own}; got'):
    config_files.load(str(own))


def test_a_file_that_gives_something_else(own):
  own.write_text('def get_config():\n  return 1\n')
  with pytest.raises(UserError, match='return a SearchConfig, .*; got int'):
    config_files.load(str(own))


def test_a_file_that_is_not_there():
  with pytest.raises(UserError, match='config no/my.py to be a file; got none'):
    config_files.load('no/my.py:train')


def test_configs_may_be_given_as_they_are(own):
  own.write_text(
    'from opp_darts_jax.config import SearchConfig, TrainConfig\n\n'
    "def get_config(part='search'):\n"
    "  kind = SearchConfig if part == 'search' else TrainConfig\n"
    '  return kind(seed=5)\n'
  )
  for name, kind in ((f'{own}', SearchConfig), (f'{own}:train', TrainConfig)):
    fields = config_files.load(name).to_dict()
    assert run_flags.config_of(kind, fields) == kind(seed=5)


@pytest.mark.parametrize(
  ('kind', 'config', 'sentence'),
  [
    (SearchConfig, 'digits:train', 'such as digits; got that of a training'),
    (TrainConfig, 'digits', 'such as digits:train; got that of a search'),
  ],
)
def test_a_config_of_the_other_kind(kind, config, sentence):
  with pytest.raises(UserError, match=sentence):
    run_flags.config_of(kind, config_files.load(config).to_dict())


@pytest.mark.parametrize(
  ('text', 'sentence'),
  [
    ('x = (', r"SyntaxError: '\(' was never closed \(cifar10.py, line 1\)"),
    ('import sys\nsys.nope', 'AttributeError at line 2: .* has no attribute'),
    ('import no_such_module', 'ModuleNotFoundError at line 1: No module named'),
    ('def get_config():\n  return {}["a"]', "KeyError at line 2: 'a'"),
    ('def get_config():\n  raise TypeError', 'TypeError at line 2: TypeError'),
  ],
)
def test_what_a_file_raises_is_a_sentence(own, text, sentence):
  own.write_text(text)
  sentence = f'^Could not read the config {own}: {sentence}.*\\.$'
  with pytest.raises(UserError, match=sentence):
    config_files.load(str(own))
  with pytest.raises(UserError, match=sentence):
    sweep_flags.fields_of([str(own)], train=False)


def test_seeds_of_a_sweep_are_seeds():
  assert sweep_flags.numbers(['0', '4294967295']) == (0, 2**32 - 1)
  for wrong in (['4294967296'], ['1', '1']):
    with pytest.raises(UserError, match='--seeds must be different numbers'):
      sweep_flags.numbers(wrong)


def test_a_sweep_looks_for_the_configs_of_trainings_before_it_searches(own):
  sweep_flags.fields_of(['digits', f'{own}', 's2:small'], train=True)
  sweep_flags.fields_of(['s2:search'], train=False)
  with pytest.raises(UserError, match="part of the config 'search_train'"):
    sweep_flags.fields_of(['s2:search'], train=True)
  own.write_text(
    'import ml_collections\n\n'
    'def get_config():\n'
    '  return ml_collections.ConfigDict({"a": 1})\n'
  )
  # What a file leaves out is as by default, and known to have been.
  assert sweep_flags.fields_of([str(own)], train=False) == {
    own.stem: {'search': {'a': 1, **as_json(SearchConfig())}}
  }
  with pytest.raises(UserError, match="to take a variant, as '.*:train' names"):
    sweep_flags.fields_of([str(own)], train=True)
