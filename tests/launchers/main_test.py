"""The console command."""

import subprocess
import sys

import pytest
from launched import launch, run

import opp_darts_jax
from opp_darts_jax.launchers import main

COMMANDS = ['search', 'train', 'report', 'sweep', 'compare', 'latency']


def call(monkeypatch, capsys, *arguments):
  """What the command writes, to stdout and stderr."""
  monkeypatch.setattr(sys, 'argv', ['opp-darts', *arguments])
  main.main()
  return capsys.readouterr()


@pytest.mark.parametrize('arguments', [(), ('--help',)])
def test_help_names_the_commands(monkeypatch, capsys, arguments):
  said = call(monkeypatch, capsys, *arguments).out
  lines = said.splitlines()
  assert lines[0] == 'Usage: opp-darts COMMAND --FLAG=VALUE ...'
  assert [line.split()[0] for line in lines if line[:2] == '  '] == COMMANDS


def test_version(monkeypatch, capsys):
  said = call(monkeypatch, capsys, '--version').out
  assert said == f'{opp_darts_jax.__version__}\n'


def test_unknown_command_is_a_sentence(monkeypatch, capsys):
  with pytest.raises(SystemExit) as stop:
    call(monkeypatch, capsys, 'serach', '--workdir=x')
  assert stop.value.code == 2
  assert capsys.readouterr().err == (
    "error: Unknown command 'serach'; valid are: search, train, report, sweep, "
    'compare, latency.\n'
  )


def test_an_interruption_before_a_run_begins_is_not_lost():
  # Where an exception cannot get out, as while libraries are imported.
  program = (
    'import gc, os, runpy, signal\n'
    'from opp_darts_jax.launchers import main\n'
    # Who starts tests in the background has them ignore it.
    'signal.signal(signal.SIGINT, signal.default_int_handler)\n'
    'def import_much(*args, **kwargs):\n'
    '  gc.callbacks.append(lambda *_: os.kill(os.getpid(), signal.SIGINT))\n'
    '  gc.collect()\n'
    'runpy.run_module = import_much\n'
    "main.launch('search')\n"
  )
  done = subprocess.run(
    [sys.executable, '-c', program], capture_output=True, text=True
  )
  assert done.returncode == 130
  assert done.stderr == 'error: interrupted; what was saved is whole.\n'


def test_help_of_a_command_is_its_own():
  done = launch('report', '--help')
  assert done.stdout.startswith('Draws the report of a run'), done.stderr
  assert 'opp-darts report --workdir=runs/digits/search' in done.stdout
  assert '--workdir: Folder of a search or training run' in done.stdout
  assert '--config' not in done.stdout  # That is a flag of others.


@pytest.mark.parametrize(
  ('flags', 'sentence'),
  [
    (['--workdir='], 'Give either --workdir, of runs'),
    (['--workdirs=,'], 'Give either --workdir, of runs'),
    (['--workdirs=a,b', '--pictures'], '--pictures are of runs that get a'),
    (['--workdir=a', '--out=x.html'], '--out is the page that compares --work'),
  ],
)
def test_flags_of_a_report_that_do_not_go_together(flags, sentence):
  done = launch('report', *flags)
  assert done.returncode == 2
  assert sentence in done.stderr
  assert not done.stdout


@pytest.mark.parametrize('name', COMMANDS)
def test_launchers_of_the_repository(name):
  words = f'experiments/{name}.py', '--help'
  # One as a user begins it; the others import the same.
  whole = name == 'report'
  done = run([sys.executable, *words]) if whole else launch(*words)
  assert f'  opp-darts {name} --' in done.stdout, done.stderr


@pytest.mark.parametrize(
  ('words', 'path'),
  [
    (['latency', '--out=~'], ''),
    (['report', '--workdir=~/none'], '/none'),
    (['report', '--workdirs=~/none,~/b'], '/none'),
    (['sweep', '--configs=digits', '--workdir=~/taken'], '/taken'),
  ],
)
def test_a_tilde_is_the_home_folder(words, path, tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  (tmp_path / 'taken').touch()
  done = launch(*words, cwd=tmp_path)
  assert done.returncode != 0
  assert f'{tmp_path}{path}' in done.stderr
  assert not (tmp_path / '~').exists()


def test_where_a_table_goes_is_looked_at_before_anything_is_timed(tmp_path):
  done = launch('latency', f'--out={tmp_path}')
  assert done.returncode == 2
  assert done.stderr.endswith(f'can be written; got {tmp_path}.\n')
  assert not done.stdout
