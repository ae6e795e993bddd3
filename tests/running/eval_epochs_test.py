"""Searches and trainings that are not evaluated after every epoch."""

import dataclasses
import json

import pytest
from tiny_runs import SEARCH, TRAIN, contents

from opp_darts_jax import files
from opp_darts_jax.running.searches.search import run_search
from opp_darts_jax.running.trainings.training import run_training
from opp_darts_jax.runs import load_run

# No search here asks what a supernet is made of.
pytestmark = pytest.mark.usefixtures('toys')
SELDOM = {'eval_epochs': 2}


def search(workdir, on_epoch=(), **fields):
  config = dataclasses.replace(SEARCH, **fields)
  run_search(config, workdir, on_epoch=on_epoch, signals=False, quiet=True)
  return load_run(workdir)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('whole')
  return search(workdir)


def parts(epochs, name):
  """The lines without what begins with a name, and what does."""
  lines = [dict(line) for line in epochs]
  numbers = [
    {key: line.pop(key) for key in list(line) if key.startswith(name)}
    for line in lines
  ]
  return lines, numbers


def test_a_search_evaluates_every_second_epoch_and_the_last(
  whole, tmp_path, capsys
):
  seen = []
  config = dataclasses.replace(SEARCH, **SELDOM)
  run_search(
    config, tmp_path, on_epoch=lambda r: seen.append(r.metrics), signals=False
  )
  run = load_run(tmp_path)
  assert ['eval_loss' in metrics for metrics in seen] == [False, True, True]
  lines, found = parts(run.epochs, 'eval_')
  every, expected = parts(whole.epochs, 'eval_')
  assert lines == every
  assert found == [{}, *map(pytest.approx, expected[1:])]
  assert run.results['eval_accuracy'] == found[-1]['eval_accuracy']
  said = capsys.readouterr().out.splitlines()
  shown = [line for line in said if line.startswith('epoch ')]
  assert ['on D_val' in line for line in shown] == [False, True, True]


def test_a_search_that_ends_early_is_evaluated_there(whole, tmp_path):
  run = search(tmp_path, lambda record: True, **SELDOM)
  assert 'eval_loss' not in run.epochs[-1]
  first = whole.epochs[0]
  for name in ('eval_loss', 'eval_accuracy'):
    assert run.results[name] == pytest.approx(first[name])
  before = contents(tmp_path)
  search(tmp_path, **SELDOM)
  assert contents(tmp_path) == before


def test_a_training_is_tested_every_second_epoch_and_at_its_end(tmp_path):
  expected = run_training(TRAIN, tmp_path / 'whole', signals=False, quiet=True)
  seen = []
  found = run_training(
    dataclasses.replace(TRAIN, **SELDOM),
    tmp_path / 'run',
    on_epoch=lambda record: seen.append(record.metrics),
    signals=False,
    quiet=True,
  )
  # What it found, to the bit but for this sum.
  loss = expected['test_loss']
  assert found | {'test_loss': loss} == expected
  assert found['test_loss'] == pytest.approx(loss)
  assert ['test_loss' in metrics for metrics in seen] == [False, True]
  lines, tests = parts(load_run(tmp_path / 'run').epochs, 'test_')
  every, _ = parts(load_run(tmp_path / 'whole').epochs, 'test_')
  assert lines == every
  assert [sorted(each) for each in tests] == [
    [],
    ['test_accuracy', 'test_loss'],
  ]


def test_runs_of_releases_without_these_fields_go_on(whole):
  path = whole.workdir / 'config.json'
  fields = json.loads(path.read_text())
  files.write_json(
    path, {n: v for n, v in fields.items() if not n.startswith('eval_')}
  )
  before = contents(whole.workdir)
  assert search(whole.workdir).results == whole.results
  assert contents(whole.workdir) == before
