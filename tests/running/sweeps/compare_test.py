"""Comparisons: what is run, what is written, and how they go on."""

import csv
import json

import pytest
from launched import launch
from stand_ins import stand_in

from opp_darts_jax.errors import UserError
from opp_darts_jax.launchers.compare import split_methods
from opp_darts_jax.running.sweeps import compare
from opp_darts_jax.running.sweeps.compare import Compared, run_compare
from opp_darts_jax.running.sweeps.sweep import SweepError, plan

METHODS = ('darts', 'progressive+pc_darts(partial=2)')


@pytest.fixture
def make(tmp_path, monkeypatch):
  stand_in(tmp_path, monkeypatch)

  def make(**changes):
    fields = {
      'configs': ('nasbench201',),
      'methods': METHODS,
      'seeds': (1, 2, 3),
      'workdir': tmp_path / 'compare',
    }
    return Compared(**fields | changes)

  return make


def test_methods_are_flags_of_searches(make):
  compared = make(
    train=True,
    search_flags=('--config.epochs=9',),
    method_flags={'darts': ('--config.alphas.learning_rate=0.1',)},
  )
  runs = plan(compared.sweep)
  assert [(run.seed, run.variant) for run in runs[:3]] == [
    (1, METHODS[0]),
    (1, METHODS[1]),
    (2, METHODS[0]),
  ]
  folder = compared.workdir / 'nasbench201/darts/seed1'
  search, train = runs[0].parts
  assert search.command[4:] == (
    '--config=nasbench201',
    '--config.epochs=9',
    '--config.schedule.name=plain',
    '--config.method=darts',
    '--config.alphas.learning_rate=0.1',
    '--config.seed=1',
    f'--workdir={folder}/search',
  )
  assert train.command[4:6] == (
    '--config=nasbench201:train',
    f'--config.genotype={folder}/search/genotype.json',
  )
  search, _ = runs[1].parts
  assert search.command[6:8] == (
    '--config.schedule.name=progressive',
    '--config.method=pc_darts(partial=2)',
  )
  # Names of methods may have what those of folders may not.
  assert search.folder.parts[-3] == 'progressive+pc_darts_partial=2'
  assert search.folder.name == 'search'


def test_parts_of_a_name():
  assert compare.parts_of('darts') == ('plain', 'darts')
  assert compare.parts_of('a.py:b + c(d=1)') == ('a.py:b', 'c(d=1)')
  assert compare.parts_of('c(d="1+2")') == ('plain', 'c(d="1+2")')
  assert split_methods('a(b=1,c=(2,3)), d+e,') == ('a(b=1,c=(2,3))', 'd+e')
  assert split_methods("a(b=')'),'c,d'") == ("a(b=')')", "'c,d'")


@pytest.mark.parametrize(
  ('changes', 'sentence'),
  [
    ({'methods': ()}, 'at least one method'),
    ({'methods': ('nope',)}, "Unknown method 'nope'"),
    ({'methods': ('nope+darts',)}, "Unknown schedule 'nope'"),
    ({'methods': ('darts', 'darts')}, 'one variant, and none twice'),
    ({'methods': ('pc_darts(parts=2)',)}, 'pc_darts takes: partial'),
    ({'measure': 'skips'}, "Unknown measure 'skips'; valid are: auto, truth"),
    ({'measure': 'test_accuracy'}, 'give --train, too'),
    (
      {'measure': 'truth_test_cifar10', 'fields': {'a': {'search': {}}}},
      r"\(Space.truth\); got the config a, whose space 'darts' does not",
    ),
    ({'train_flags': ('--config.layers=2',)}, 'give --train, too'),
    (
      {'search_flags': ('--config.method=gdas',)},
      'search_flags cannot have config.method, config.schedule.name, which',
    ),
    (
      {'method_flags': {'darts': ('--config.schedule.name=plain',)}},
      'method_flags cannot have .* got --config.schedule.name=plain',
    ),
    (
      {'method_flags': {'darts': ('--config=cifar10',)}},
      'flags of darts cannot have config, .* got --config=cifar10',
    ),
    ({'method_flags': {'gdas': ()}}, 'own .gdas.; valid are: darts, prog'),
  ],
)
def test_wrong_input(make, changes, sentence):
  with pytest.raises(UserError, match=sentence):
    _ = make(**changes).sweep


def test_a_measure_of_a_space_that_flags_name(make):
  fields = {'a': {'search': {'space': 'darts'}}}
  flags = ('--config.space=nasbench201',)
  for given in ({'search_flags': flags}, {'method_flags': {'darts': flags}}):
    make(measure='truth_test_cifar10', fields=fields, **given)


def test_everything_is_run_once_and_written_down(make, capfd):
  compared = make()
  found = run_compare(compared, jobs=2)
  darts, other = found['methods']
  assert darts['mean'] == pytest.approx(0.25)
  assert darts['seconds'] == 3.5
  assert (darts['spearman'], darts['kendall']) == (0.5, None)
  assert darts['published'][0]['accuracy'] == 0.543
  assert other['method'] == METHODS[1]
  assert other['difference'] == pytest.approx(1 / 16)
  assert (other['p'], other['effect']) == (pytest.approx(0.25), 1)
  workdir = compared.workdir
  assert json.loads((workdir / 'compare.json').read_text()) == found
  assert 'n = 3 seeds' in capfd.readouterr().out
  with open(workdir / 'runs.csv', newline='') as file:
    runs = list(csv.DictReader(file))
  assert len(runs) == 6
  assert [run['seed'] for run in runs if run['method'] == 'darts'] == [*'123']
  assert runs[1]['truth_test_cifar10'] == '0.1875'
  with open(workdir / 'compare.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  assert [row['method'] for row in rows] == list(METHODS)
  assert [row['published'] for row in rows] == ['0.5430', '']
  assert r'\bottomrule' in (workdir / 'compare.tex').read_text()
  logs = {path: path.read_text() for path in workdir.glob('*/*/*/*.log')}
  assert len(logs) == 6
  # Once more, with a method more: only that one runs.
  more = run_compare(make(methods=(*METHODS, 'progressive+darts')))
  assert more['methods'][:1] == found['methods'][:1]
  assert len(more['methods']) == 3
  assert all(path.read_text() == text for path, text in logs.items())
  with pytest.raises(UserError, match='other flags of darts, '):
    run_compare(make(method_flags={'darts': ('--config.epochs=3',)}))
  # Fewer are compared from what is there, and the others stay known.
  run_compare(make(methods=METHODS[:1]))
  known = json.loads((workdir / 'sweep.json').read_text())
  assert set(known['variants']) == {*METHODS, 'progressive+darts'}
  for name, text in (
    ('results.json', '{"a'),
    ('times.jsonl', '{"seconds": "1"}'),
    ('config.json', ''),
    ('config.json', '{"space": "darts"}'),
  ):
    path = workdir / 'nasbench201/darts/seed1/search' / name
    path.write_text(text)
    with pytest.raises(UserError, match=rf'Expected .*{name}'):
      run_compare(make(methods=METHODS[:1]))


def test_those_that_did_not_fail_are_compared(make, capfd):
  with pytest.raises(SweepError, match='2 of 6 runs failed'):
    run_compare(make(search_flags=('--fail=2',)), jobs=2)
  said = capfd.readouterr().out
  assert 'n = 2 seeds' in said
  workdir = make().workdir
  rows = json.loads((workdir / 'compare.json').read_text())['methods']
  assert [row['seeds'] for row in rows] == [2, 2]


@pytest.mark.parametrize(
  ('flag', 'sentence'),
  [
    ('--methods=darts,nope', "Unknown method 'nope'"),
    ('--method_flags=darts', "takes 'METHOD: --config.FIELD=VALUE ...'"),
    ('--configs=digits:big', "Unknown part of the config 'big'"),
    ('--cluster_options=timeout_min=9', 'of a --cluster, which is not given'),
  ],
)
def test_launcher_refuses_before_anything_runs(tmp_path, flag, sentence):
  workdir = tmp_path / 'compare'
  given = ('--configs=digits', '--methods=darts', f'--workdir={workdir}', flag)
  done = launch('compare', *given)
  assert done.returncode == 2
  assert sentence in done.stderr
  assert not workdir.exists()
