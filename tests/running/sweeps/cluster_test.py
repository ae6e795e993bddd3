"""Sweeps by submitit: its local jobs, and Slurm with a stand-in for Slurm."""

import json
import os
import signal
import sys
import threading
import time

import pytest
from stand_ins import stand_in

from opp_darts_jax.errors import NotFinished, UserError
from opp_darts_jax.running.sweeps.cluster import (
  CLUSTERS,
  launcher,
  read_options,
)
from opp_darts_jax.running.sweeps.cluster_job import PartJob
from opp_darts_jax.running.sweeps.sweep import Sweep, SweepError, run_sweep

submitit = pytest.importorskip('submitit')

# A queue of jobs that begin at once; each is told by its number, its process.
SBATCH = """
import os, re, subprocess, sys
folder = os.path.dirname(os.path.abspath(sys.argv[0]))
script = open(sys.argv[-1]).read()
open(folder + '/script', 'w').write(script)
run = subprocess.Popen(
  ['bash', '-c', 'export SLURM_JOB_ID=$$; exec bash ' + sys.argv[-1]],
  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
  stderr=open(folder + '/errors', 'a'), start_new_session=True)
print('Submitted batch job', run.pid)
"""
SRUN = """
import os, sys
command = [word for word in sys.argv[1:]]
while command[0].startswith('-'):
  command = command[2 if command[0] in ('--output', '--error') else 1:]
os.environ.update(SLURM_NTASKS='1', SLURM_NNODES='1', SLURM_NODEID='0',
                  SLURM_PROCID='0', SLURM_LOCALID='0')
os.execvp(command[0], command)
"""
SACCT = """
import sys
print('JobID|State|NodeList')
for number in sys.argv[sys.argv.index('-j') + 1::2]:
  print(f'{number}|RUNNING|here')
"""


@pytest.fixture
def make(tmp_path, monkeypatch):
  stand_in(tmp_path, monkeypatch)
  bin_folder = tmp_path / 'bin'
  bin_folder.mkdir()
  for name, text in (('sbatch', SBATCH), ('srun', SRUN), ('sacct', SACCT)):
    path = bin_folder / name
    path.write_text(f'#!{sys.executable}\n{text}')
    path.chmod(0o755)
  monkeypatch.setenv('PATH', f'{bin_folder}{os.pathsep}{os.environ["PATH"]}')

  def make(**changes):
    fields = {'configs': ('a',), 'seeds': (1, 2), 'workdir': tmp_path / 'sweep'}
    return Sweep(**fields | changes)

  return make


def go(sweep, cluster, **options):
  launch = launcher(cluster, sweep.workdir, options)
  return run_sweep(sweep, 2, launch=launch)


@pytest.mark.parametrize('cluster', CLUSTERS)
def test_parts_are_jobs(make, cluster, tmp_path, capfd):
  options = {'timeout_min': 90}
  if cluster == 'slurm':
    options['slurm_partition'] = 'small'
  sweep = make(search_flags=('--fail=2',))
  with pytest.raises(SweepError, match='1 of 2 runs failed: a seed 2 search'):
    go(sweep, cluster, **options)
  # Codes and logs are those of the parts.
  said = capfd.readouterr().out
  assert 'a seed 2 search: failed with code 2: error: wrong input\n' in said
  log = sweep.workdir / 'a/seed1/search.log'
  assert log.read_text() == 'called, own session True\n'
  found = json.loads((sweep.workdir / 'sweep.json').read_text())
  assert [run['test_accuracy'] for run in found['runs']] == [0.6]
  if cluster == 'slurm':
    script = (tmp_path / 'bin/script').read_text()
    assert '#SBATCH --partition=small\n' in script
    assert '#SBATCH --time=90\n' in script
    assert '#SBATCH --job-name=opp_darts\n' in script


@pytest.mark.parametrize('cluster', CLUSTERS)
def test_a_signal_makes_jobs_save_and_the_same_goes_on(make, cluster):
  sweep = make(search_flags=('--wait=yes',), train=False, seeds=(1,))
  started = sweep.workdir / 'a/seed1/search/started'

  def interrupt():
    while not started.exists():
      time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)

  threading.Thread(target=interrupt).start()
  with pytest.raises(NotFinished, match='0 of 1 runs are finished'):
    go(sweep, cluster)
  assert (sweep.workdir / 'a/seed1/search/saved').exists()
  assert len(go(sweep, cluster)['runs']) == 1


def test_a_job_that_is_queued_again_has_saved(tmp_path):
  program = (
    'import signal, sys, time, pathlib\n'
    'def save(*_):\n  print("saved"); sys.exit(75)\n'
    'signal.signal(signal.SIGTERM, save)\n'
    'pathlib.Path("begun").touch()\n'
    'time.sleep(60)\n'
  )
  log = tmp_path / 'log'
  job = PartJob(
    (sys.executable, '-c', program), log, tmp_path / 'stop', str(tmp_path)
  )
  ended = []
  thread = threading.Thread(target=lambda: ended.append(job()))
  thread.start()
  while not (tmp_path / 'begun').exists():
    time.sleep(0.02)
  again = job.checkpoint()
  thread.join()
  assert log.read_text() == 'saved\n'
  assert again.function is job
  assert ended == [75]


@pytest.mark.parametrize('given', [{}, {'max_num_timeout': 5}])
@pytest.mark.parametrize('cluster', CLUSTERS)
def test_a_job_is_queued_again_however_often_its_time_ends(
  make, cluster, given
):
  options = {f'{cluster}_{name}': value for name, value in given.items()}
  sweep = make(seeds=(1,), train=False)
  go(sweep, cluster, **options)
  [stored] = (sweep.workdir / 'submitit').glob('*_submitted.pkl')
  job = submitit.core.utils.DelayedSubmission.load(stored)
  assert job._timeout_countdown == given.get('max_num_timeout', sys.maxsize)


def test_options():
  text = "timeout_min=600 slurm_partition=gpu slurm_mem='4G' gpus_per_node=1"
  assert read_options(text) == {
    'timeout_min': 600,
    'slurm_partition': 'gpu',
    'slurm_mem': '4G',
    'gpus_per_node': 1,
  }
  assert read_options('') == {}
  with pytest.raises(UserError, match=r"as 'NAME=VALUE \.\.\.'.* got 'gpu'"):
    read_options('gpu')


def test_what_is_not_there_is_a_sentence(tmp_path, monkeypatch):
  with pytest.raises(UserError, match='takes speed=9, got: .*speed'):
    launcher('local', tmp_path, {'speed': 9})
  monkeypatch.setenv('PATH', str(tmp_path))
  with pytest.raises(UserError, match="cluster 'slurm'.*srun"):
    launcher('slurm', tmp_path, {})
  monkeypatch.setitem(sys.modules, 'submitit', None)
  with pytest.raises(UserError, match=r"pip install 'opp_darts_jax\[slurm\]'"):
    launcher('local', tmp_path, {})
