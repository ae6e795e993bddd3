"""Tests of what a config's `data.source` means."""

import pytest
from data_sets import load

from opp_darts_jax.data import digits
from opp_darts_jax.data.catalogue import SOURCES, find_source
from opp_darts_jax.errors import UserError


def meant(text):
  source, place = find_source(text)
  return source.name, place


@pytest.mark.parametrize(
  ('text', 'want'),
  [
    ('digits', ('digits', '')),
    ('cifar10', ('tfds', 'cifar10')),
    ('cifar10_corrupted/blur:1.0.0', ('tfds', 'cifar10_corrupted/blur:1.0.0')),
    ('mnist:3.*.*', ('tfds', 'mnist:3.*.*')),
    ('tfds:digits', ('tfds', 'digits')),
    ('tfds:huggingface:mnist', ('tfds', 'huggingface:mnist')),
    ('no/folder:here', ('tfds', 'no/folder:here')),
    ('own.npz', ('npz', 'own.npz')),
    ('a:b/own.npz', ('npz', 'a:b/own.npz')),
    ('npz:own', ('npz', 'own')),
    ('folder:own.npz', ('folder', 'own.npz')),
    ('folder:a.py:B', ('folder', 'a.py:B')),
    ('~/images', ('folder', '~/images')),
    ('/no/run:one', ('folder', '/no/run:one')),
    ('../a:b', ('folder', '../a:b')),
  ],
)
def test_a_text_means_one_source(text, want, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert meant(text) == want


def test_a_folder_that_exists_is_one_whatever_it_is_called(
  tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  for name in ('plain', 'run:one', 'my.module:NAME', 'file.py:NAME'):
    (tmp_path / name).mkdir()
    assert meant(name) == ('folder', name)
    assert meant(str(tmp_path / name)) == ('folder', str(tmp_path / name))


def test_known_kinds_win_over_folders_and_modules(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'digits').mkdir()
  (tmp_path / 'npz:own').mkdir()
  assert meant('digits') == ('digits', '')
  assert meant('./digits') == ('folder', './digits')
  assert meant('npz:own') == ('npz', 'own')


def test_own_sources_come_from_modules_and_files(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'catalogue_test_own.py').write_text(
    'def mine(place, config):\n  return place\n'
  )
  for place in (
    'catalogue_test_own', 'catalogue_test_own.py', './catalogue_test_own.py',
    str(tmp_path / 'catalogue_test_own.py'),
  ):  # fmt: skip
    source, where = find_source(f'{place}:mine')
    assert (source.name, source.read(where, None)) == ('mine', '')
    assert source.listing is None
  found, where = find_source('opp_darts_jax.data.digits:SOURCE')
  assert (found.name, where) == (digits.SOURCE.name, '')
  assert load('opp_darts_jax.data.digits:read').num_train == 1438


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('folder:', "tfds:NAME, got 'folder:'"),
    ('digits:x', "as digits, folder:PATH, .* got 'digits:x'"),
    ('gone.py', "data source 'gone.py'; valid are: digits, .* FILE.py:NAME"),
    ('gone.py:', "data source 'gone.py:'; valid are: digits, .* FILE.py:NAME"),
    (
      './gone.py:NAME',
      'not import ./gone.py, which the data source is to come',
    ),
    ('no.module:NAME', "not import no.module, .* No module named 'no'"),
  ],
)
def test_a_text_that_means_none(text, message, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(UserError, match=message) as caught:
    find_source(text)
  assert '\n' not in str(caught.value)


def test_the_catalogue_goes_by_the_names_of_its_records():
  assert list(SOURCES) == ['digits', 'folder', 'npz', 'tfds']
  assert [name for name in SOURCES if SOURCES[name].listing] == [
    'folder', 'tfds',
  ]  # fmt: skip
