"""What stands in for the console command in tests of sweeps: it is quick."""

import pathlib

import opp_darts_jax

# Stands in for the console command: writes what the sweep reads, at once. With
# --fail=SEED that seed fails; with --wait it waits first for a SIGTERM; with
# --meet=N until N have begun.
LAUNCHER = """
import json, os, pathlib, signal, sys, time

flags = dict(flag.lstrip('-').split('=', 1) for flag in sys.argv[2:])
folder = pathlib.Path(flags['workdir'])
folder.mkdir(exist_ok=True)
seed = int(flags['config.seed'])
print('called, own session', os.getsid(0) == os.getpid())
(folder / 'threads').write_text(os.environ.get('NPROC', 'as they are'))
if flags.get('fail') == str(seed):
  print('error: wrong input\\n\\n', file=sys.stderr)
  sys.exit(2)
saved = folder / 'saved'
if 'wait' in flags and not saved.exists():
  def save(*_):
    saved.touch()
    sys.exit(75)
  signal.signal(signal.SIGTERM, save)
  (folder / 'started').touch()
  time.sleep(600)
begin = time.time()
(folder / 'begun').touch()
meet = int(flags.get('meet', 0))
while len(list(folder.parents[2].glob('*/*/*/begun'))) < meet:
  time.sleep(0.05)
(folder / 'times').write_text(json.dumps([begin, time.time()]))
if 'config.genotype' in flags:
  assert json.loads(pathlib.Path(flags['config.genotype']).read_text())
  accuracy = {'test_accuracy': (5 + seed) / 10}
  (folder / 'results.json').write_text(json.dumps(accuracy))
else:
  better = 'progressive' in flags.get('config.schedule.name', '')
  found = {'eval_accuracy': seed / 4, 'skip_normal': seed, 'skip_reduce': 0}
  found['truth_test_cifar10'] = seed / 8 + better / 16
  found['spearman_cifar10'] = 0.5 + better / 4
  config = {'space': 'nasbench201', 'data': {'source': 'cifar10'}}
  (folder / 'config.json').write_text(json.dumps(config))
  (folder / 'times.jsonl').write_text('{"seconds": 3.5}')
  (folder / 'genotype.json').write_text(json.dumps({'normal': seed}))
  (folder / 'results.json').write_text(json.dumps(found))
"""


def stand_in(folder, monkeypatch):
  """Makes `python -m opp_darts_jax` run it, in processes begun from here on."""
  package = folder / 'opp_darts_jax'
  package.mkdir()
  # All but the command is the package's own.
  real = str(pathlib.Path(opp_darts_jax.__file__).parent)
  (package / '__init__.py').write_text(f'__path__.append({real!r})\n')
  (package / '__main__.py').write_text(LAUNCHER)
  # `python -m` looks for it in the folder where it is called.
  monkeypatch.chdir(folder)
