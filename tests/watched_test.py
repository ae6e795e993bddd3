"""Runs with their pages: several searches at a time."""

import inspect
import types

import pytest
from run_files import write_search

from opp_darts_jax import watched
from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import OtherRunError
from opp_darts_jax.files import write_json
from opp_darts_jax.running.searches import seeds
from opp_darts_jax.running.workdirs.workdir import make_workdir
from opp_darts_jax.spaces.catalogue import get_space


def test_what_is_refused_is_left_alone(tmp_path, monkeypatch):
  folder = tmp_path / 'seed0'
  make_workdir(folder)
  write_search(folder)
  write_json(folder / 'results.json', {'epochs': 2})
  monkeypatch.setattr(watched.results, 'count_network', pytest.fail)
  with pytest.raises(OtherRunError, match='holds a run of another config'):
    watched.run_searches(SearchConfig(search_seeds=(0, 4)), tmp_path)


def test_a_refused_search_writes_no_page(tmp_path):
  write_search(tmp_path)
  before = sorted(tmp_path.iterdir())
  with pytest.raises(OtherRunError, match='holds a run of another config'):
    watched.run_search(SearchConfig(), tmp_path)
  assert sorted(tmp_path.iterdir()) == before


def test_several_searches_have_a_page_each(tmp_path, monkeypatch):
  takes = inspect.signature(seeds.run_searches)
  folders = [tmp_path / 'seed0', tmp_path / 'seed4']
  counted, seen = [], []
  space = get_space('s2')

  def run_searches(*given, **options):
    takes.bind(*given, **options)
    for folder in folders:
      folder.mkdir()
      write_search(folder)
      for watcher in options['on_epoch']:
        watcher(types.SimpleNamespace(workdir=folder))
    raise seeds.SearchesError('1 of 3 searches failed.')

  def count_network(folder, config, space):
    counted.append((folder, config.search_seeds, space))

  monkeypatch.setattr(seeds, 'run_searches', run_searches)
  monkeypatch.setattr(watched.results, 'count_network', count_network)
  config = SearchConfig(search_seeds=(0, 4))
  with pytest.raises(seeds.SearchesError):  # The others are counted.
    watched.run_searches(
      config, tmp_path, space=space, on_epoch=seen.append, quiet=True
    )
  assert [record.workdir for record in seen] == folders
  assert all((folder / 'report.html').is_file() for folder in folders)
  assert not (tmp_path / 'report.html').exists()
  assert counted == [(folder, (0, 4), space) for folder in folders]
