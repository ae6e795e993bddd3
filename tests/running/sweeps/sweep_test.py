"""Sweeps: what is run, how, and what is said of it."""

import json
import os
import signal
import sys
import threading
import time

import pytest
from launched import SEARCH, TRAIN, launch
from stand_ins import stand_in

from opp_darts_jax.errors import NotFinished, UserError, WorkdirError
from opp_darts_jax.running.sweeps import sweep as sweep_lib
from opp_darts_jax.running.sweeps import table
from opp_darts_jax.running.sweeps.sweep import Sweep, SweepError, Variant


@pytest.fixture
def make(tmp_path, monkeypatch):
  """A sweep of two configs and two seeds by stand-ins."""
  stand_in(tmp_path, monkeypatch)

  def make(**changes):
    fields = {
      'configs': ('a', 'path/b.py'),
      'seeds': (1, 2),
      'workdir': tmp_path / 'sweep',
    }
    return Sweep(**fields | changes)

  return make


def logs(sweep):
  return {
    str(path.relative_to(sweep.workdir)): path.read_text()
    for path in sweep.workdir.glob('*/*/*.log')
  }


def test_plan(make, tmp_path):
  sweep = make(
    configs=('s2', 'path/a.py:small'),
    search_flags=('--config.epochs=9',),
    train_flags=('--config.layers=2',),
  )
  runs = sweep_lib.plan(sweep)
  order = [('s2', 1), ('a_small', 1), ('s2', 2), ('a_small', 2)]
  assert [(run.config, run.seed) for run in runs] == order
  search, train = runs[3].parts
  folder = tmp_path / 'sweep' / 'a_small' / 'seed2'
  assert search.command == (
    sys.executable,
    '-m',
    'opp_darts_jax',
    'search',
    '--config=path/a.py:small',
    '--config.epochs=9',
    '--config.seed=2',
    f'--workdir={folder}/search',
  )
  assert train.command[3:] == (
    'train',
    '--config=path/a.py:small_train',
    '--config.layers=2',
    f'--config.genotype={folder}/search/genotype.json',
    '--config.seed=2',
    f'--workdir={folder}/train',
  )
  assert runs[0].parts[1].command[4] == '--config=s2:train'
  assert len(sweep_lib.plan(make(train=False))[0].parts) == 1


@pytest.mark.parametrize(
  ('changes', 'sentence'),
  [
    ({'configs': ()}, 'at least one config, and none twice; got none'),
    ({'configs': ('x/s.py', 'y/s.py')}, 'none twice; got s, s'),
    ({'seeds': ()}, 'at least one seed'),
    ({'seeds': (4, 4)}, 'none twice; got 4, 4'),
    (
      {'train': False, 'train_flags': ('--config.layers=2',)},
      'train_flags are of .*: give --train, too; got --config.layers=2',
    ),
    (
      {'search_flags': ('--config.epochs=3', '--config.seed=7')},
      'search_flags cannot have config, config.seed, config.seeds, .* got '
      '--config.seed=7',
    ),
    ({'train_flags': ('--config.seeds=(0,1)',)}, r'got --config.seeds=\(0,1\)'),
    ({'search_flags': ('--config.search_seeds=(0,)',)}, 'search_flags cannot'),
    ({'train_flags': ('-workdir', 'x')}, 'train_flags cannot .* got -workdir'),
    ({'train_flags': ('--config.genotype=x',)}, 'cannot .*config.genotype'),
  ],
)
def test_wrong_input(make, changes, sentence):
  with pytest.raises(UserError, match=sentence):
    make(**changes)


def test_table_of_spaces_with_other_kinds_of_cells():
  def run(config, **skips):
    return {
      'config': config,
      'workdir': config,
      'test_accuracy': 0.5,
      'eval_accuracy': 0.25,
      **skips,
    }

  found = table.by_config(
    [
      run('bench', skip_cell=2),
      run('bench', skip_cell=3),
      run('darts', skip_normal=1, skip_reduce=0),
    ]
  )
  assert found['bench']['skip_cell'] == 2.5
  assert 'skip_normal' not in found['bench']
  head, bench, darts = map(str.split, table.table(found).splitlines())
  assert head[-6:] == ['skips:', 'cell', 'normal', 'reduce', 'best', 'run']
  assert bench[-5:] == ['0.2500', '2.5', '-', '-', 'bench']
  assert darts[-4:] == ['-', '1.0', '0.0', 'darts']


def test_statistics_and_table():
  def run(config, workdir, test, d_val, skips):
    return {
      'config': config,
      'workdir': workdir,
      'test_accuracy': test,
      'eval_accuracy': d_val,
      'skip_normal': skips,
      'skip_reduce': 8,
    }

  found = table.by_config(
    [
      run('x', 'x/0', 0.5, 0.25, 1),
      run('y', 'y/0', None, 0.125, 0),
      run('x', 'x/1', 0.75, 0.75, 2),
      run('z', 'z/0', 0.5, None, 0),  # Random cells: no supernet is trained.
    ]
  )
  assert found['x'] == {
    'runs': 2,
    'test_mean': 0.625,
    'test_std': pytest.approx(0.125 * 2**0.5),
    'test_best': 0.75,
    'eval_accuracy': 0.5,
    'skip_normal': 1.5,
    'skip_reduce': 8,
    'best_run': 'x/1',
  }
  head, x, y, z = map(str.split, table.table(found).splitlines())
  assert head[:5] == ['config', 'runs', 'test', 'mean', 'std']
  numbers = ['0.6250', '0.1768', '0.7500', '0.5000', '1.5', '8.0']
  assert x == ['x', '2', *numbers, 'x/1']
  assert y == ['y', '1', '-', '-', '-', '0.1250', '0.0', '8.0', '-']
  assert z == ['z', '1', '0.5000', '-', '0.5000', '-', '0.0', '8.0', 'z/0']


def test_sweep_runs_everything_once(make, capfd):
  sweep = make()
  found = sweep_lib.run_sweep(sweep, jobs=2)
  assert found['configs']['b']['test_mean'] == pytest.approx(0.65)
  assert found['configs']['b']['best_run'].endswith('sweep/b/seed2/train')
  assert json.loads((sweep.workdir / 'sweep.json').read_text()) == {
    **found,
    'search_flags': [],
    'train_flags': [],
  }
  assert set(logs(sweep)) == {
    f'{config}/seed{seed}/{part}.log'
    for config in 'ab'
    for seed in (1, 2)
    for part in ('search', 'train')
  }
  said = capfd.readouterr().out
  assert 'a seed 1 search: begins' in said
  assert '0.6500  0.0707  0.7000  0.3750' in said
  assert sweep_lib.run_sweep(sweep) == found
  # A part that runs a second time would add a line.
  assert set(logs(sweep).values()) == {'called, own session True\n'}
  with pytest.raises(UserError, match=r'other train_flags, \[\]'):
    sweep_lib.run_sweep(make(train_flags=('--meet=0',)))
  damaged = sweep.workdir / 'b' / 'seed2' / 'train' / 'results.json'
  for text, sentence in (
    ('{"a', 'is missing or damaged'),
    ('[1]', r'\[1\]'),
    ('{"test_accuracy": "x"}', "got 'x'"),
  ):
    damaged.write_text(text)
    with pytest.raises(UserError, match=rf'Expected .*seed2/train.*{sentence}'):
      sweep_lib.run_sweep(sweep)
  (sweep.workdir / 'sweep.json').write_text('{"runs"')
  with pytest.raises(WorkdirError, match=r'sweep\.json, which is damaged'):
    sweep_lib.run_sweep(sweep)


def test_a_workdir_knows_its_configs_by_what_they_say(make):
  own = {'search': {'epochs': 2, 'data': {'flip': True}}}
  found = sweep_lib.run_sweep(make(train=False, seeds=(1,), fields={'a': own}))
  assert found['fields'] == {'a': own}
  # One more config, and a field that a later release has besides.
  more = {'search': {**own['search'], 'new': 0}}
  both = {'a': more, 'b': {'search': {}}}
  found = sweep_lib.run_sweep(make(train=False, seeds=(1,), fields=both))
  assert found['fields'] == both
  # How networks were trained is known when there is nothing to train, too.
  two, three = ({'a': {**more, 'train': {'layers': n}}} for n in (2, 3))
  sweep_lib.run_sweep(make(seeds=(1,), fields=two))
  sweep_lib.run_sweep(make(train=False, seeds=(1,), fields={'a': more}))
  with pytest.raises(UserError, match=r'which differs in train\.layers: give'):
    sweep_lib.run_sweep(make(seeds=(1,), fields=three))
  other = {'search': {'epochs': 2, 'data': {'flip': False}}}
  with pytest.raises(
    UserError, match=r'another config a, which differs in search\.data\.flip: '
  ):
    sweep_lib.run_sweep(make(train=False, seeds=(1,), fields={'a': other}))


def test_two_commands_in_a_workdir_keep_what_the_other_wrote(make):
  def sweep(name):
    variant = Variant(name, (f'--config.method={name}',))
    return make(configs=('a',), seeds=(1,), train=False, variants=(variant,))

  class Ended:
    def poll(self):
      return 0

  def launch(part):
    part.folder.mkdir(parents=True, exist_ok=True)
    (part.folder / 'config.json').write_text('{}')
    (part.folder / 'results.json').write_text('{"eval_accuracy": 0.5}')
    if 'lib_m' in part.label:
      return Ended()
    sweep_lib.run_sweep(sweep('lib_m.py:M'), launch=launch)
    return Ended()

  found = sweep_lib.run_sweep(sweep('gdas'), launch=launch)
  assert found['variants'].keys() == {'gdas', 'lib_m.py:M'}
  with pytest.raises(
    UserError,
    match=r'runs of lib_m\.py:M in .* lib_m\.py_M, .* lib/m\.py:M would',
  ):
    sweep_lib.run_sweep(sweep('lib/m.py:M'), launch=launch)


@pytest.mark.parametrize(('jobs', 'threads'), [(1, 'as they are'), (3, '2')])
def test_as_many_at_a_time_as_asked(make, jobs, threads, monkeypatch):
  monkeypatch.delenv('NPROC', raising=False)
  cores = set(range(7))
  monkeypatch.setattr(os, 'sched_getaffinity', lambda _: cores, raising=False)
  flags = (f'--meet={jobs}',)
  sweep = make(search_flags=flags, train=False, seeds=(0, 1))
  found = sweep_lib.run_sweep(sweep, jobs)
  assert found['configs']['a']['test_mean'] is None
  times = [
    json.loads(path.read_text()) for path in sweep.workdir.glob('*/*/*/times')
  ]
  assert len(times) == 4
  at_once = [sum(b <= t < e for b, e in times) for t, _ in times]
  assert max(at_once) == jobs
  written = sweep.workdir.glob('*/*/*/threads')
  assert {path.read_text() for path in written} == {threads}


def test_failed_part_stops_no_other(make, capfd):
  sweep = make(search_flags=('--fail=1',))
  with pytest.raises(SweepError, match='2 of 4 runs failed: a seed 1 search'):
    sweep_lib.run_sweep(sweep, jobs=2)
  said = capfd.readouterr().out
  assert 'b seed 1 search: failed with code 2: error: wrong input\n' in said
  assert 'a/seed1/train.log' not in logs(sweep)
  found = json.loads((sweep.workdir / 'sweep.json').read_text())
  assert [run['seed'] for run in found['runs']] == [2, 2]


def test_flags_of_which_no_run_has_begun_bind_nobody(make):
  wrong = make(configs=('a',), seeds=(1,), search_flags=('--fail=1',))
  for _ in range(2):
    with pytest.raises(SweepError, match='1 of 1 runs failed'):
      sweep_lib.run_sweep(wrong)
  found = sweep_lib.run_sweep(make(configs=('a',), seeds=(1,), train=False))
  assert found['search_flags'] == []
  with pytest.raises(UserError, match='a sweep with other search_flags, '):
    sweep_lib.run_sweep(wrong)


def test_a_file_is_no_workdir(make, tmp_path):
  (tmp_path / 'file').write_text('mine')
  with pytest.raises(WorkdirError, match='must be a folder that can be writt'):
    sweep_lib.run_sweep(make(workdir=tmp_path / 'file'))


@pytest.fixture
def terminal():
  """One that may be closed; nohup would have that ignored."""
  before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
  yield
  signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures('terminal')
@pytest.mark.parametrize(
  'number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
)
def test_signal_reaches_the_parts_and_is_waited_for(make, number):
  sweep = make(search_flags=('--wait=yes',))
  started = [sweep.workdir / c / 'seed1/search/started' for c in 'ab']

  def interrupt():
    while not all(path.exists() for path in started):
      time.sleep(0.05)
    os.kill(os.getpid(), number)

  threading.Thread(target=interrupt).start()
  before = signal.getsignal(number)
  with pytest.raises(NotFinished, match='0 of 4 runs are finished'):
    sweep_lib.run_sweep(sweep, jobs=2)
  assert signal.getsignal(number) is before
  # Those that ran have saved; no other was begun.
  assert len(list(sweep.workdir.glob('*/seed1/search/saved'))) == 2
  assert not list(sweep.workdir.glob('*/seed2/*'))
  # The same again goes on with them; the others are let through.
  for config in 'ab':
    (sweep.workdir / config / 'seed2/search').mkdir(parents=True)
    (sweep.workdir / config / 'seed2/search/saved').touch()
  assert len(sweep_lib.run_sweep(sweep, jobs=2)['runs']) == 4
  assert logs(sweep)['a/seed1/search.log'].count('called') == 2


def test_launcher(tmp_path):
  flags = (
    '--configs=darts_digits',
    '--seeds=3',
    f'--workdir={tmp_path}',
    f'--search_flags={" ".join(SEARCH)}',
    f'--train_flags={" ".join(TRAIN)}',
  )
  done = launch('sweep', *flags)
  assert done.returncode == 0, done.stdout + done.stderr
  found = json.loads((tmp_path / 'sweep.json').read_text())
  run = tmp_path / 'darts_digits' / 'seed3'
  assert [run['workdir'] for run in found['runs']] == [f'{run}/train']
  for part in ('search', 'train'):
    config = json.loads((run / part / 'config.json').read_text())
    assert config['seed'] == 3
  results = json.loads((run / 'train' / 'results.json').read_text())
  genotype = json.loads((run / 'search' / 'genotype.json').read_text())
  assert results['genotype'] == genotype
  accuracy = results['test_accuracy']
  assert found['configs']['darts_digits']['test_mean'] == accuracy
  assert f'darts_digits     1     {accuracy:.4f}' in done.stdout


@pytest.mark.parametrize(
  ('flag', 'sentence'),
  [
    ('--seeds=0,-1', "got ['0', '-1']"),
    (
      '--configs=digits,s2:big',
      "config 'big'; valid are: search, train, small",
    ),
    (
      '--configs=no.py',
      'Expected the config no.py to be a file; got none.',
    ),
  ],
)
def test_launcher_refuses_before_anything_runs(tmp_path, flag, sentence):
  workdir = tmp_path / 'sweep'
  done = launch('sweep', '--configs=digits', f'--workdir={workdir}', flag)
  assert done.returncode == 2
  assert sentence in done.stderr
  assert not workdir.exists()
