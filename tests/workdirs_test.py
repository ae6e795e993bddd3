"""Tests of the folder of a run."""

import dataclasses
import json

import pytest

from opp_darts_jax import workdirs
from opp_darts_jax.config import DataConfig, SearchConfig, TrainConfig
from opp_darts_jax.errors import UserError

CONFIG = SearchConfig(seed=1, data=DataConfig(mean=(0.5,), std=(0.25,)))


def test_a_new_folder_is_made_and_holds_the_config(tmp_path):
  path = workdirs.open_workdir(str(tmp_path / 'runs' / 'new'), CONFIG)
  assert path == tmp_path / 'runs' / 'new'
  fields = json.loads((path / 'config.json').read_text())
  assert SearchConfig.from_dict(fields) == CONFIG


def test_a_folder_is_opened_again_with_the_same_config(tmp_path):
  workdirs.open_workdir(tmp_path, CONFIG)
  text = (tmp_path / 'config.json').read_text()
  again = SearchConfig.from_dict(dataclasses.asdict(CONFIG))
  assert workdirs.open_workdir(tmp_path, again) == tmp_path
  assert (tmp_path / 'config.json').read_text() == text


def test_a_run_of_another_config_is_refused_and_left_alone(tmp_path):
  workdirs.open_workdir(tmp_path, CONFIG)
  text = (tmp_path / 'config.json').read_text()
  other = SearchConfig(seed=2, data=DataConfig(mean=(0.5,), std=(0.5,)))
  with pytest.raises(
    UserError, match=r'another config, which differs in data\.std, seed; choose'
  ):
    workdirs.open_workdir(tmp_path, other)
  with pytest.raises(UserError, match='differs in .*alphas.*auxiliary'):
    workdirs.open_workdir(tmp_path, TrainConfig())
  assert (tmp_path / 'config.json').read_text() == text


@pytest.mark.parametrize('content', [b'{"seed": 1', b'', b'\xff\xfe\x00'])
def test_a_config_that_is_no_json_is_refused(tmp_path, content):
  (tmp_path / 'config.json').write_bytes(content)
  with pytest.raises(UserError, match='must be a folder .* got: '):
    workdirs.open_workdir(tmp_path, CONFIG)
  assert (tmp_path / 'config.json').read_bytes() == content


def test_a_file_is_no_workdir(tmp_path):
  (tmp_path / 'file').write_text('mine')
  for path in (tmp_path / 'file', tmp_path / 'file' / 'run'):
    with pytest.raises(UserError, match=f'The workdir {path} must be a folder'):
      workdirs.open_workdir(path, CONFIG)
