"""Runs that the first release began, whose folders are in golden/."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from pages import Page

from opp_darts_jax import files
from opp_darts_jax.config import SearchConfig, TrainConfig
from opp_darts_jax.errors import CheckpointError, OtherRunError, UserError
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.launchers import config_files
from opp_darts_jax.reporting import report
from opp_darts_jax.running.searches.search import run_search
from opp_darts_jax.running.workdirs.workdir import open_workdir
from opp_darts_jax.runs import load_run

RUNS = pathlib.Path(__file__).parents[1] / 'golden' / 'first_house'
LINES = ('metrics.jsonl', 'alphas.jsonl')


def config_of(**fields):
  """What the flags of the stored search mean today."""
  config = config_files.load('digits')
  config.update(
    {
      'space': 's3',
      'layers': 2,
      'nodes': 2,
      'channels': 4,
      'epochs': 6,
      'batch_size': 16,
      'log_steps': 2,
      'data': {'max_train': 96, 'max_test': 40},
      **fields,
    }
  )
  return SearchConfig.from_dict(config.to_dict())


@pytest.fixture
def part(tmp_path):
  """A search of 18 steps that was stopped after 9."""
  return pathlib.Path(shutil.copytree(RUNS / 'part', tmp_path / 'part'))


@pytest.fixture
def training(tmp_path):
  workdir = pathlib.Path(shutil.copytree(RUNS / 'train', tmp_path / 'train'))
  shutil.copy(RUNS / 'network.npz', workdir)
  return workdir


def assert_close(found, want, **tolerances):
  """Of JSON: equal, but for roundings of numbers that are not whole."""
  assert type(found) is type(want)
  if isinstance(want, dict):
    assert list(found) == list(want)
    found, want = list(found.values()), list(want.values())
  if isinstance(want, list):
    assert len(found) == len(want)
    for one, other in zip(found, want):
      assert_close(one, other, **tolerances)
  elif isinstance(want, float):
    np.testing.assert_allclose(found, want, **tolerances)
  else:
    assert found == want


def known_then(line):
  """A line without the signs of collapse, which are measured since."""
  signs = ('skip_share_', 'entropy_')
  return {k: v for k, v in line.items() if not k.startswith(signs)}


def test_a_stopped_search_goes_on_to_the_same_end(part, capsys):
  assert config_of() == load_run(part).config
  genotype = run_search(config_of(), part, signals=False)
  assert 'going on after step 9\n' in capsys.readouterr().out
  want = json.loads((RUNS / 'whole' / 'genotype.json').read_text())
  assert genotype == Genotype.from_dict(want)
  assert json.loads((part / 'genotype.json').read_text()) == want
  for name in LINES:
    old = (RUNS / 'part' / name).read_bytes()
    assert (part / name).read_bytes().startswith(old)
    # Other machines, and compilers, round otherwise; alphas begin near zero.
    assert_close(
      list(map(known_then, files.read_lines(part / name))),
      files.read_lines(RUNS / 'whole' / name),
      rtol=1e-4,
      atol=1e-6,
    )
  assert load_run(part).results['epochs'] == 6


@pytest.mark.parametrize(
  ('fields', 'names'),
  [
    ({'seed': 1}, 'seed'),
    ({'method': 'pc_darts(partial=2,warmup_epochs=0)'}, 'method'),
    ({'schedule': {'name': 'plain'}}, r'schedule\.name'),
    ({'nodes': 0}, 'nodes'),
    ({'space': 's2', 'epochs': 7}, 'epochs, space'),
  ],
)
def test_another_search_is_refused(part, fields, names):
  with (
    pytest.raises(
      OtherRunError, match=f'another config, which differs in {names}; choose'
    ) as error,
    open_workdir(part, config_of(**fields)),
  ):
    pass
  assert error.value.exit_code == 5


def test_a_field_that_nobody_knows_is_refused(part):
  path = part / 'config.json'
  path.write_text(json.dumps({**json.loads(path.read_text()), 'lr': 0.1}))
  with pytest.raises(UserError, match='Unknown config field lr; valid are: '):
    load_run(part)
  with pytest.raises(OtherRunError, match='differs in lr;'):
    run_search(config_of(), part, signals=False)


def test_lines_without_a_checkpoint_are_not_overwritten(part):
  shutil.rmtree(part / 'checkpoints')
  with pytest.raises(CheckpointError, match='the numbers of 3 epochs, but'):
    run_search(config_of(), part, signals=False)


def test_a_search_is_read(part):
  whole, stopped = load_run(RUNS / 'whole'), load_run(part)
  assert [stage.entered for stage in whole.stages] == [
    ('sep_conv_3x3',),
    ('none',),
    ('skip_connect',),
  ]
  assert [stage.epoch for stage in whole.stages] == [0, 2, 4]
  assert [line['epoch'] for line in whole.epochs] == list(range(6))
  assert [line['epoch'] for line in stopped.epochs] == list(range(3))
  assert whole.epochs[-1]['genotype'] == whole.genotype.to_dict()
  assert whole.epochs[-1]['eval_loss'] == pytest.approx(2.3097, abs=1e-4)
  assert len(whole.alphas) == 6
  assert whole.config == stopped.config
  assert stopped.results == {}


def test_a_training_is_read(training):
  run = load_run(training)
  assert isinstance(run.config, TrainConfig)
  assert run.results['test_accuracy'] == pytest.approx(0.1)
  assert run.genotype == load_run(RUNS / 'whole').genotype
  assert [line['epoch'] for line in run.epochs] == [0, 1]
  assert run.network.image_shape == (8, 8, 1)
  assert run.network.model.genotype == run.genotype
  with np.load(RUNS / 'logits.npz') as file:
    assert set(file.files) == {'images', 'logits'}
    found = run.network(file['images'])
    np.testing.assert_allclose(found, file['logits'], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
  ('run', 'sections'),
  [
    ('part', {'cells', 'alphas', 'collapse', 'curves'}),
    ('train', {'cells', 'curves', 'test'}),
  ],
)
def test_the_report_reads_them(tmp_path, run, sections):
  workdir = pathlib.Path(shutil.copytree(RUNS / run, tmp_path / run))
  page = Page(report.write_report(workdir))
  assert sections <= set(page.sections)
  assert 'digits' in page.text
