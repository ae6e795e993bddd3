"""Tests of several seeds that are searched in one process.

The supernets are a few products of matrices.
"""

import contextlib
import dataclasses
import json
import threading
import types

import numpy as np
import pytest
import tiny_runs

from opp_darts_jax.errors import NotFinished, UserError, WriteError
from opp_darts_jax.files import read_lines
from opp_darts_jax.running.runs.console import Console
from opp_darts_jax.running.searches import seeds as seeds_lib
from opp_darts_jax.running.searches.dry_run import dry_run
from opp_darts_jax.running.searches.search import run_search
from opp_darts_jax.running.searches.seeds import (
  SearchesError,
  config_of,
  run_searches,
)

pytestmark = pytest.mark.usefixtures('toys')
SEEDS = (4, 0, 2)
CONFIG = dataclasses.replace(tiny_runs.SEARCH, search_seeds=SEEDS)
FILES = ('genotype.json', 'metrics.jsonl', 'alphas.jsonl', 'config.json')
MORE = ('inputs.json', 'results.json', 'space.json')


class KillError(Exception):
  """Ends searches in an epoch."""


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
  """The folder of each seed, searched alone."""
  folder = tmp_path_factory.mktemp('alone')
  for seed in SEEDS:
    config = dataclasses.replace(tiny_runs.SEARCH, seed=seed)
    run_search(config, folder / f'seed{seed}', quiet=True, signals=False)
  return folder


def check_same(folder, alone, seeds=SEEDS):
  for seed in seeds:
    own, other = (path / f'seed{seed}' for path in (folder, alone))
    names = FILES + MORE
    assert tiny_runs.contents(own, names) == tiny_runs.contents(other, names)


def test_each_seed_ends_as_it_would_alone(alone, tmp_path, capsys):
  found = run_searches(CONFIG, tmp_path)
  check_same(tmp_path, alone)
  assert list(found) == list(SEEDS)
  said = capsys.readouterr().out
  assert '4, 0, 2: 3 searches together' in said
  for seed in SEEDS:
    path = tmp_path / f'seed{seed}'
    assert found[seed].to_dict() == json.loads(
      (path / 'genotype.json').read_text()
    )
    for epoch in range(3):
      assert said.count(f'seed {seed}, epoch {epoch}: loss') == 1
  assert 'entered' in said
  assert f'in {tmp_path / "seed2"}' in said
  before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob('*')}
  # Once all have finished, nothing is written, by either way.
  assert run_searches(CONFIG, tmp_path, quiet=True) == found
  config = config_of(CONFIG, 2)
  assert run_search(config, tmp_path / 'seed2', quiet=True) == found[2]
  assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob('*')}


def test_a_signal_stops_all_and_each_goes_on(alone, tmp_path, monkeypatch):
  asked = types.SimpleNamespace(requested=False)

  class Noticed(contextlib.nullcontext):
    requested = property(lambda self: asked.requested)

  monkeypatch.setattr(seeds_lib, 'Interruption', Noticed)

  def interrupt(record):
    asked.requested |= (record.epoch, record.workdir.name) == (1, 'seed0')

  with pytest.raises(NotFinished, match='0 of 3 searches are finished'):
    run_searches(CONFIG, tmp_path, quiet=True, on_epoch=interrupt)
  # All have seen it at once, though it came in the turn of one.
  steps = {
    seed: max(
      int(path.name)
      for path in (tmp_path / f'seed{seed}' / 'checkpoints').iterdir()
      if path.name.isdecimal()
    )
    for seed in SEEDS
  }
  assert len(set(steps.values())) == 1
  assert steps[0] > 2 * tiny_runs.PER_EPOCH
  asked.requested = False
  # One goes on alone, and with the others: they are where they stopped.
  config = config_of(CONFIG, 0)
  run_search(config, tmp_path / 'seed0', quiet=True)
  run_searches(CONFIG, tmp_path, quiet=True)
  check_same(tmp_path, alone)


def test_seeds_that_are_behind_catch_up(alone, tmp_path, monkeypatch):
  shown = []

  class Seen(Console):
    def __exit__(self, *exc):
      shown.append(self.standing)

  monkeypatch.setattr(seeds_lib, 'Console', Seen)

  def kill(record):
    if record.epoch == 1:
      raise KillError

  for seed in SEEDS[:2]:
    with pytest.raises(KillError):
      run_search(
        config_of(CONFIG, seed),
        tmp_path / f'seed{seed}',
        on_epoch=kill,
        quiet=True,
      )
  seen = []
  run_searches(
    CONFIG,
    tmp_path,
    on_epoch=lambda r: seen.append((r.epoch, r.workdir.name)),
    quiet=True,
  )
  check_same(tmp_path, alone)
  # What is done again after the last checkpoints counts once.
  assert [standing.done for standing in shown] == [3 * 3 * tiny_runs.PER_EPOCH]
  names = [f'seed{seed}' for seed in SEEDS]
  assert seen[0] == (0, 'seed2')
  assert seen[1:] == [(epoch, name) for epoch in (1, 2) for name in names]


def test_one_that_fails_or_ends_early_leaves_the_others(alone, tmp_path):
  ended = []

  def watch(record):
    if record.workdir.name == 'seed4' and record.epoch == 1:
      raise UserError('seed 4 has had enough.')
    ended.append((record.workdir.name, record.epoch))
    return record.workdir.name == 'seed0'

  with pytest.raises(SearchesError, match='1 of 3 .* seed 4 with code 2: seed'):
    run_searches(CONFIG, tmp_path, on_epoch=watch, quiet=True)
  assert [epoch for name, epoch in ended if name == 'seed0'] == [0]
  check_same(tmp_path, alone, (2,))
  # It goes on where it failed.
  config = config_of(CONFIG, 4)
  run_search(config, tmp_path / 'seed4', quiet=True)
  check_same(tmp_path, alone, (4, 2))


@pytest.mark.parametrize('error', [KillError, WriteError])
def test_what_concerns_all_ends_all(alone, tmp_path, error):
  def kill(record):
    if record.workdir.name == 'seed0':
      raise error

  before = threading.active_count()
  with pytest.raises(error):
    run_searches(CONFIG, tmp_path, on_epoch=kill, quiet=True)
  if error is WriteError:  # All folders were let go of.
    run_searches(CONFIG, tmp_path, quiet=True)
    check_same(tmp_path, alone)
  assert threading.active_count() <= before


def test_folders_of_other_runs_are_refused_before_any_begins(tmp_path):
  other = dataclasses.replace(tiny_runs.SEARCH, epochs=2)
  folder = tmp_path / 'seed2'
  folder.mkdir()
  (folder / 'config.json').write_text(json.dumps(dataclasses.asdict(other)))
  with pytest.raises(UserError, match='another config, which differs in epo'):
    run_searches(CONFIG, tmp_path, quiet=True)
  assert not (tmp_path / 'seed4').exists()


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'search_seeds': (1, 1)}, r'search_seeds must be different .*\(1, 1\)'),
    ({'search_seeds': (0, -1)}, r'2\*\*32; got \(0, -1\)'),
    ({'search_seeds': (0, 1), 'seed': 3}, 'give either; got seed=3'),
  ],
)
def test_wrong_seeds(fields, message):
  with pytest.raises(UserError, match=message):
    dataclasses.replace(tiny_runs.SEARCH, **fields)


def test_mapped_over_seeds_they_end_alike(alone, tmp_path):
  # One ends before the others: a copy takes its place.
  def watch(record):
    return (record.epoch, record.workdir.name) == (1, 'seed2')

  run_searches(CONFIG, tmp_path, mapped=True, on_epoch=watch, quiet=True)
  for seed in SEEDS:
    lines = [
      read_lines(path / f'seed{seed}' / 'metrics.jsonl')
      for path in (tmp_path, alone)
    ]
    if seed == 2:
      assert [line['kind'] for line in lines[0]][-1] == 'stop'
      lines = [lines[0][:-1], lines[1][: len(lines[0]) - 1]]
    assert len(lines[0]) == len(lines[1])
    for own, other in zip(*lines):
      assert own.keys() == other.keys()
      assert own.get('entered') == other.get('entered')
      for name, value in own.items():
        if isinstance(value, float):
          np.testing.assert_allclose(value, other[name], rtol=1e-3, atol=1e-4)


def test_one_and_several_are_not_mistaken(tmp_path):
  with pytest.raises(UserError, match='run_searches does'):
    run_search(CONFIG, tmp_path)
  with pytest.raises(UserError, match='search_seeds, which has none'):
    run_searches(tiny_runs.SEARCH, tmp_path)


def test_the_dry_run_says_how_many(tmp_path):
  said = dry_run(CONFIG, tmp_path)
  assert '  seeds     4, 0, 2: 3 searches together' in said
  lacking = 'layers=1 holds no normal cell, layers=3 does'
  assert f'{lacking}: what is reported of it is its start\n' in said
