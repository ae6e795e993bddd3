"""Tests of the folder of a run."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from opp_darts_jax.config import (
  CostConfig,
  DataConfig,
  MonitorConfig,
  SearchConfig,
  TrainConfig,
  WeightOptimizerConfig,
)
from opp_darts_jax.config.fields import as_json
from opp_darts_jax.errors import (
  OtherRunError,
  UserError,
  WorkdirError,
  WorkdirInUseError,
)
from opp_darts_jax.files import write_json
from opp_darts_jax.running.searches.dry_run import dry_run
from opp_darts_jax.running.workdirs import workdir


def open_workdir(path, config):
  with workdir.open_workdir(path, config) as folder:
    return folder


CONFIG = SearchConfig(seed=1, data=DataConfig(mean=(0.5,), std=(0.25,)))


def test_a_new_folder_is_made_and_holds_the_config(tmp_path):
  path = open_workdir(str(tmp_path / 'runs' / 'new'), CONFIG)
  assert path == tmp_path / 'runs' / 'new'
  fields = json.loads((path / 'config.json').read_text())
  assert SearchConfig.from_dict(fields) == CONFIG


def test_a_folder_is_opened_again_with_the_same_config(tmp_path):
  open_workdir(tmp_path, CONFIG)
  text = (tmp_path / 'config.json').read_text()
  again = SearchConfig.from_dict(dataclasses.asdict(CONFIG))
  assert open_workdir(tmp_path, again) == tmp_path
  assert (tmp_path / 'config.json').read_text() == text


def test_a_whole_number_is_the_float_of_its_value(tmp_path):
  fields = {**as_json(CONFIG), 'cost': {'target': 4000}}
  write_json(tmp_path / 'config.json', fields)  # As earlier releases wrote it.
  config = dataclasses.replace(CONFIG, cost=CostConfig(target=4000))
  assert open_workdir(tmp_path, config) == tmp_path


@pytest.mark.parametrize(
  ('one', 'other'), [(1, '1.0'), (None, 'None'), (2**60, 2**60 + 1), (1, True)]
)
def test_what_only_looks_alike_is_another(one, other):
  assert workdir.changed_fields({'seed': one}, {'seed': other}) == ['seed']
  assert not workdir.changed_fields({'seed': one}, {'seed': one})


def test_a_run_of_another_config_is_refused_and_left_alone(tmp_path):
  open_workdir(tmp_path, CONFIG)
  text = (tmp_path / 'config.json').read_text()
  other = SearchConfig(seed=2, data=DataConfig(mean=(0.5,), std=(0.5,)))
  with pytest.raises(
    OtherRunError, match=r'another config, .* in data\.std, seed; choose'
  ):
    open_workdir(tmp_path, other)
  with pytest.raises(
    OtherRunError, match='holds a search, not a training; choose'
  ):
    open_workdir(tmp_path, TrainConfig())
  assert (tmp_path / 'config.json').read_text() == text


def test_a_field_that_was_not_there_yet_was_as_by_default(tmp_path):
  fields = json.loads(json.dumps(dataclasses.asdict(CONFIG)))
  del fields['method'], fields['data']['workers']
  (tmp_path / 'config.json').write_text(json.dumps(fields))
  assert open_workdir(tmp_path, CONFIG) == tmp_path
  other = dataclasses.replace(CONFIG, method='pc_darts')
  with pytest.raises(OtherRunError, match='differs in method; choose'):
    open_workdir(tmp_path, other)


@pytest.mark.parametrize(
  ('config', 'sentence'),
  [
    # A rate would rise, where it is said to fall.
    (
      SearchConfig(weights=WeightOptimizerConfig(learning_rate=1e-4)),
      r'learning_rate_min must be at most weights\.learning_rate, 0\.0001; got',
    ),
    (
      SearchConfig(epochs=3, monitor=MonitorConfig(eigenvalue_epochs=4)),
      r'monitor\.eigenvalue_epochs must be at most epochs, 3; got 4',
    ),
  ],
)
def test_what_earlier_releases_ran_is_read_but_not_begun(
  tmp_path, config, sentence
):
  for begins in (
    lambda: workdir.check_workdir(tmp_path / 'new', config),
    lambda: dry_run(config, tmp_path),
  ):
    with pytest.raises(UserError, match=sentence):
      begins()
  assert not list(tmp_path.iterdir())
  write_json(tmp_path / 'config.json', as_json(config))
  assert open_workdir(tmp_path, config) == tmp_path


@pytest.mark.parametrize(
  'content', [b'{"seed": 1', b'', b'\xff\xfe\x00', b'[]', b'7']
)
def test_a_config_that_is_no_json_is_refused(tmp_path, content):
  (tmp_path / 'config.json').write_bytes(content)
  with pytest.raises(WorkdirError, match='must be a folder .* got: '):
    open_workdir(tmp_path, CONFIG)
  assert (tmp_path / 'config.json').read_bytes() == content


def test_a_file_is_no_workdir(tmp_path):
  (tmp_path / 'file').write_text('mine')
  for path in (tmp_path / 'file', tmp_path / 'file' / 'run'):
    with pytest.raises(WorkdirError, match=f'The workdir {path} must be a'):
      open_workdir(path, CONFIG)


def test_a_folder_that_cannot_be_made_is_refused():
  with pytest.raises(WorkdirError, match='The workdir /proc/run must be'):
    open_workdir('/proc/run', CONFIG)


def test_a_folder_serves_one_process_at_a_time(tmp_path):
  code = (
    'import pathlib, sys, time\n'
    'from opp_darts_jax.running.workdirs import workdir\n'
    'from opp_darts_jax.config import SearchConfig\n'
    'with workdir.open_workdir(sys.argv[1], SearchConfig()):\n'
    "  print('open', flush=True)\n"
    '  time.sleep(60)\n'
  )
  with subprocess.Popen(
    [sys.executable, '-c', code, str(tmp_path)],
    stdout=subprocess.PIPE,
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
  ) as other:
    try:
      assert other.stdout.readline() == b'open\n'
      with pytest.raises(WorkdirInUseError, match='in use by another process'):
        open_workdir(tmp_path, SearchConfig())
    finally:
      other.kill()
  # Whoever held it is gone, and its lock with it.
  assert open_workdir(tmp_path, SearchConfig()) == tmp_path
