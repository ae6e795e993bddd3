"""The job scripts, with stand-ins for the cluster and the launchers."""

import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[1]
JOBS = ROOT / 'experiments' / 'jobs'
SCRIPTS = sorted(JOBS.glob('*.sh'))
PATIENCE = 300  # Seconds; a machine may be busy with something else.
SUBMITTED = ('slurm_one_node', 'slurm_nodes', 'slurm_seeds')

# A command that notes its call, and does what is given beside it.
NOTE = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >>"$PLACE/calls"
"""
# As the true one: killed by SIGTERM, it kills what it runs.
SRUN = """
while [[ $1 == --* ]]; do shift; done
trap 'kill -KILL "$task"' TERM
"$@" &
task=$!
echo "$task" >"$PLACE/task"
wait "$task"
"""
SCANCEL = """
kill -TERM "$(<"$PLACE/task")"
"""
# Exits with the next of the codes in a file. 'wait' lets it wait for a SIGTERM
# first, which it takes some time to obey.
PYTHON = """#!/usr/bin/env bash
echo "launcher $* ${JAX_LOCAL_DEVICE_IDS:-}" >>"$PLACE/calls"
read -r code wait <"$PLACE/codes"
sed -i 1d "$PLACE/codes"
if [[ $wait ]]; then
  trap 'sleep 0.5; echo saved >>"$PLACE/calls"; exit "$code"' TERM
  echo started >>"$PLACE/calls"
  for _ in {1..3000}; do sleep 0.1; done
fi
exit "$code"
"""
GCLOUD = """
case $* in
  *describe*) cat "$PLACE/state" ;;
  *create*) echo READY >"$PLACE/state" ;;
  *tpu_worker.sh*)
    read -r code state <"$PLACE/codes"
    sed -i 1d "$PLACE/codes"
    if [[ $state ]]; then echo "$state" >"$PLACE/state"; fi
    exit "$code"
    ;;
esac
"""


class Place:
  """A copy of the scripts, and a PATH that begins with stand-ins."""

  def __init__(self, folder):
    self.folder = folder
    shutil.copytree(JOBS, folder / 'experiments' / 'jobs')
    self.put('.venv/bin/python', PYTHON)
    for name, does in {
      'srun': SRUN,
      'scancel': SCANCEL,
      'scontrol': '',
      'gcloud': GCLOUD,
      'git': '',
      'sudo': '',
      'python3': '',
      'mountpoint': 'exit 1\n',
    }.items():
      self.put(f'bin/{name}', NOTE + does)
    (folder / 'calls').touch()
    self.environment = os.environ | {
      'PATH': f'{folder}/bin:{os.environ["PATH"]}',
      'PLACE': str(folder),
      'HOME': str(folder),
      'PAUSE': '0',
      'SLURM_JOB_ID': '7',
      'PYTHON': '',  # That of `make test PYTHON=...` is no stand-in.
    }

  def put(self, name, text):
    path = self.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)

  def codes(self, *lines):
    (self.folder / 'codes').write_text(''.join(f'{line}\n' for line in lines))

  def start(self, script, *flags, **environment):
    return subprocess.Popen(
      ['bash', f'experiments/jobs/{script}.sh', *flags],
      cwd=self.folder,
      env=self.environment | environment,
      stdout=subprocess.DEVNULL,
    )

  def run(self, script, *flags, **environment):
    """The exit code of a script, and what it called."""
    code = self.start(script, *flags, **environment).wait(timeout=PATIENCE)
    return code, self.calls()

  def calls(self, name=''):
    lines = (self.folder / 'calls').read_text().splitlines()
    return [line.strip() for line in lines if line.startswith(name)]

  def wait_for(self, line, times=1):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
      if self.calls().count(line) == times:
        return
      time.sleep(0.05)
    raise AssertionError(f'{line!r} is not among {self.calls()}')


@pytest.fixture
def place(tmp_path):
  return Place(tmp_path)


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.stem)
def test_shell(script):
  subprocess.run(['bash', '-n', script], check=True)
  shellcheck = shutil.which('shellcheck', path=_search_path())
  if not shellcheck:
    pytest.skip('there is no shellcheck')
  done = subprocess.run(
    [shellcheck, '-x', script.relative_to(ROOT)],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout


def _search_path():
  """PATH, and first the folder of the Python that runs."""
  return f'{pathlib.Path(sys.executable).parent}:{os.environ["PATH"]}'


def test_slurm_jobs_save_and_come_back():
  wanted = {'signal=B:USR1@120', 'requeue', 'open-mode=append'}
  for name in SUBMITTED:
    text = (JOBS / f'{name}.sh').read_text()
    header, _, rest = text.partition('set -euo pipefail')
    assert wanted <= set(re.findall(r'^#SBATCH --(\S+)$', header, re.M)), name
    assert '#SBATCH' not in rest  # Slurm would not see it.


def test_one_node_searches_and_trains(place):
  place.codes(0, 0)
  code, calls = place.run('slurm_one_node', '--config.compute=bfloat16')
  assert code == 0
  config = 'cifar10'
  assert [call for call in calls if call.startswith('launcher')] == [
    f'launcher experiments/search.py --config={config} --config.seed=0 '
    '--workdir=runs/cifar10/search --config.compute=bfloat16',
    f'launcher experiments/train.py --config={config}:train --config.seed=0 '
    '--config.genotype=runs/cifar10/search/genotype.json '
    '--workdir=runs/cifar10/train --config.compute=bfloat16',
  ]
  assert not place.calls('scontrol')


@pytest.mark.parametrize(
  ('codes', 'code', 'requeued'),
  [
    ((75,), 75, True),
    ((0, 75), 75, True),
    ((143,), 75, True),
    ((2,), 2, False),
    ((0, 9), 9, False),
    ((137,), 137, False),
  ],
)
def test_requeued_if_not_finished(place, codes, code, requeued):
  place.codes(*codes)
  assert place.run('slurm_one_node')[0] == code
  assert len(place.calls('launcher')) == len(codes)
  assert place.calls('scontrol') == ['scontrol requeue 7'] * requeued


@pytest.mark.parametrize('code', [75, 0])
def test_warning_is_passed_on_and_waited_for(place, code):
  # 0: the search was in its last step; what comes next is left to a new job.
  place.codes(f'{code} wait')
  job = place.start('slurm_one_node')
  place.wait_for('started')
  job.send_signal(signal.SIGUSR1)
  assert job.wait(timeout=PATIENCE) == 75
  assert place.calls()[-4:] == [
    'started',
    'scancel --signal=TERM 7',
    'saved',
    'scontrol requeue 7',
  ]


def test_preempted_launcher_is_requeued(place):
  place.codes('75 wait')
  job = place.start('slurm_one_node')
  place.wait_for('started')
  os.kill(int((place.folder / 'task').read_text()), signal.SIGTERM)
  assert job.wait(timeout=PATIENCE) == 75
  assert place.calls()[-2:] == ['saved', 'scontrol requeue 7']


def test_cancelled_job_is_not_requeued(place):
  place.codes('75 wait')
  job = place.start('slurm_one_node')
  place.wait_for('started')
  job.send_signal(signal.SIGTERM)
  os.kill(int((place.folder / 'task').read_text()), signal.SIGTERM)
  assert job.wait(timeout=PATIENCE) == 75
  # The launcher has saved, and got no second signal, which would end it.
  assert place.calls()[-1] == 'saved'


@pytest.mark.parametrize(
  ('config', 'name'), [('cifar10', 'cifar10'), ('own/a.py:small', 'a_small')]
)
def test_index_of_an_array_is_the_seed(place, config, name):
  script = place.folder / 'experiments' / 'jobs' / 'slurm_seeds.sh'
  text = script.read_text()
  script.write_text(text.replace('config=cifar10\n', f'config={config}\n'))
  place.codes('75 wait')
  array = {'SLURM_ARRAY_JOB_ID': '7', 'SLURM_ARRAY_TASK_ID': '3'}
  job = place.start('slurm_seeds', **array)
  place.wait_for('started')
  job.send_signal(signal.SIGUSR1)
  assert job.wait(timeout=PATIENCE) == 75
  launched = place.calls('launcher')[0].split()
  assert '--config.seed=3' in launched
  assert f'--config={config}' in launched
  assert f'--workdir=runs/sweep/{name}/seed3/search' in launched
  # By 7 alone Slurm would understand all jobs of the array.
  assert place.calls('scancel') == ['scancel --signal=TERM 7_3']
  assert place.calls('scontrol') == ['scontrol requeue 7_3']


@pytest.mark.parametrize(('gpus', 'devices'), [('4', '0,1,2,3'), ('', '')])
def test_process_of_a_node_takes_all_its_gpus(place, gpus, devices):
  place.codes(0, 0)
  code, _ = place.run('slurm_nodes', SLURM_GPUS_ON_NODE=gpus)
  assert code == 0
  for call in place.calls('launcher'):
    assert call.endswith(f'--distributed {devices}'.strip())


def test_tpu_setup(place):
  (place.folder / 'state').write_text('\n')
  code, calls = place.run('tpu_setup')
  assert code == 0
  verbs = [call.split()[4] for call in calls if call.startswith('gcloud')]
  assert verbs == ['describe', 'create', 'scp', 'ssh']
  assert '--spot' in place.calls('gcloud')[1]
  # What is copied is what git has written.
  archive = re.search(r'--output=(\S+) HEAD', place.calls('git')[0])[1]
  assert f'scp {archive} opp-darts:' in place.calls('gcloud')[2]
  place.run('tpu_setup')
  assert sum(' create ' in call for call in place.calls('gcloud')) == 1


def test_tpu_install(place):
  place.put('.local/bin/uv', NOTE)
  code, calls = place.run('tpu_install', '10.0.0.2:/share')
  assert code == 0
  assert 'uv pip install --quiet --editable . jax[tpu]' in calls
  assert calls[-1] == 'sudo mount -t nfs 10.0.0.2:/share runs'
  place.put('bin/mountpoint', NOTE)
  assert 'sudo' not in ' '.join(place.run('tpu_install', 'x')[1][len(calls) :])


@pytest.mark.parametrize(
  ('codes', 'code', 'verbs'),
  [
    # Finished at once; stopped and continued.
    (('0', '0'), 0, 'search train'),
    (('75', '0', '0'), 0, 'search search train'),
    # Taken away: deleted and made anew. Lost connections are not for ever.
    (
      ('255 PREEMPTED', '0', '0'),
      0,
      'search delete create scp install search train',
    ),
    (('1', '255', '75', '1', '0', '0'), 0, 'search ' * 5 + 'train'),
    (('1', '1', '1'), 1, 'search search search'),
    # For a person.
    (('0', '2'), 2, 'search train'),
    (('10',), 10, 'search'),
  ],
)
def test_tpu_run(place, codes, code, verbs):
  place.codes(*codes)
  (place.folder / 'state').write_text('READY\n')
  assert place.run('tpu_run', "--config.space='s3'")[0] == code
  done = re.findall(
    r"tpu_worker.sh '(\w+)'|tpu-vm (delete|create|scp)|tpu_(install)",
    '\n'.join(place.calls()),
  )
  assert [''.join(verb) for verb in done] == verbs.split()
  # The shell of a worker reads the flag as it was given.
  command = place.calls('gcloud')[0].partition('--command=')[2]
  assert "--config.space='s3'" in shlex.split(command)


def test_tpu_run_trains_by_the_variant_of_its_config(place):
  settings = place.folder / 'experiments' / 'jobs' / 'tpu_common.sh'
  text = settings.read_text()
  settings.write_text(text.replace("config='cifar10'", "config='s2:small'"))
  place.codes('0', '0')
  (place.folder / 'state').write_text('READY\n')
  assert place.run('tpu_run')[0] == 0
  search, train = (c for c in place.calls('gcloud') if 'tpu_worker' in c)
  assert "'--config=s2:small' " in search
  assert "'--config=s2:small_train' " in train


def test_tpu_worker_asks_the_launcher_before_to_save(place):
  place.codes('75 wait', '0')
  first = place.start('tpu_worker', 'search', '--config.seed=1')
  place.wait_for('started')
  # The launcher takes the place of the script.
  assert int((place.folder / 'launcher.pid').read_text()) == first.pid
  second = place.start('tpu_worker', 'search', '--config.seed=1')
  assert first.wait(timeout=PATIENCE) == 75
  assert second.wait(timeout=PATIENCE) == 0
  launched = 'launcher experiments/search.py --distributed --config.seed=1'
  assert place.calls() == [launched, 'started', 'saved', launched]
  # A number that now is another program's is let alone.
  other = subprocess.Popen(['sleep', '600'])
  (place.folder / 'launcher.pid').write_text(str(other.pid))
  place.codes('0')
  assert place.run('tpu_worker', 'search')[0] == 0
  assert other.poll() is None
  other.kill()
