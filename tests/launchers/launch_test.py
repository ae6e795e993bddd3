"""The launchers, end to end on a tiny setting, as a user calls them."""

import json
import signal
import time

import numpy as np
import pytest
import toy_launcher
from kill_runs import outcome
from launched import DATA, SEARCH, TRAIN, Forked, launch
from PIL import Image

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import dataset
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.networks import trained
from opp_darts_jax.reporting.report import write_report
from opp_darts_jax.running.sweeps import table

BENCH = (
  *DATA,
  '--config.space=nasbench201',
  '--config.layers=1',
  '--config.channels=2',
  '--config.batch_size=16',
  '--config.epochs=1',
)


def lines(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope='module')
def searched(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('runs') / 'search'
  done = launch('search', f'--workdir={workdir}', *SEARCH)
  assert done.returncode == 0, done.stderr
  return workdir, done.stdout


def test_search(searched):
  workdir, said = searched
  records = lines(workdir / 'metrics.jsonl')
  stages = [r for r in records if r['kind'] == 'stage']
  entered = [stage['entered'] for stage in stages]
  assert entered == [['sep_conv_3x3'], ['none'], ['skip_connect']]
  assert [stage['epoch'] for stage in stages] == [0, 1, 2]
  epochs = [r for r in records if r['kind'] == 'epoch']
  assert [e['step'] for e in epochs] == [3, 6, 9]
  alphas = lines(workdir / 'alphas.jsonl')
  assert [a['normal'][0].count(None) for a in alphas] == [2, 1, 0]
  genotype = json.loads((workdir / 'genotype.json').read_text())
  assert genotype == epochs[-1]['genotype']
  assert 'enters sep_conv_3x3' in said


def test_search_again_repeats_nothing(searched):
  workdir, _ = searched
  before = (workdir / 'metrics.jsonl').read_text()
  done = launch('search', f'--workdir={workdir}', *SEARCH)
  assert done.returncode == 0, done.stderr
  assert (workdir / 'metrics.jsonl').read_text() == before
  done = launch('search', f'--workdir={workdir}', *SEARCH, '--config.seed=1')
  assert done.returncode == 5
  assert 'holds a run of another config, which differs in seed' in done.stderr


def test_a_killed_search_goes_on_to_the_bit(searched, tmp_path):
  """That of a whole supernet; processes_test.py has the other ends."""
  flags = 'search', f'--workdir={tmp_path}', *SEARCH
  run = Forked(*flags)
  until = time.monotonic() + 600
  while not (tmp_path / 'checkpoints' / '3').exists():
    assert run.poll() is None
    assert time.monotonic() < until
    time.sleep(0.01)
  # The next epoch has its first scores to compile.
  run.send_signal(signal.SIGKILL)
  run.communicate()
  assert run.returncode == -signal.SIGKILL
  assert not (tmp_path / 'results.json').exists()
  done = launch(*flags)
  assert done.returncode == 0, done.stderr
  assert 'going on after step ' in done.stdout
  assert outcome(tmp_path) == outcome(searched[0])


def test_train_and_report(searched, tmp_path):
  search, _ = searched
  train = tmp_path / 'train'
  done = launch(
    'train',
    f'--workdir={train}',
    f'--config.genotype={search}/genotype.json',
    *TRAIN,
  )
  assert done.returncode == 0, done.stderr
  results = json.loads((train / 'results.json').read_text())
  assert 0 <= results['test_accuracy'] <= 1
  assert results['epochs'] == 2
  assert results['test_accuracy'] <= results['test_top5_accuracy'] <= 1
  confusion = np.array(results['confusion'])
  assert confusion.sum() == 40
  assert np.trace(confusion) == round(40 * results['test_accuracy'])
  assert len(results['class_accuracy']) == len(confusion) == 10
  records = lines(train / 'metrics.jsonl')
  assert records[-1]['test_accuracy'] == results['test_accuracy']
  # The network that was left is the one that was tested.
  images = dataset.load(DataConfig(max_train=96, max_test=40))
  network = trained.load_network(train)
  predicted = network(images.test.images).argmax(-1)
  accuracy = (predicted == images.test.labels).mean()
  np.testing.assert_allclose(accuracy, results['test_accuracy'], rtol=1e-6)
  # Both have written their page, and what was not recognised is in it.
  pages = [folder / 'report.html' for folder in (search, train)]
  before = [page.read_text() for page in pages]
  words = '<span>opp-darts</span> <span>search</span> <span>--workdir='
  assert words in before[0]
  mistakes = min(12, confusion.sum() - np.trace(confusion))
  assert before[1].count('alt="An image of class') == mistakes
  assert len(results['mistakes']) == mistakes
  for mistake in results['mistakes']:
    own = images.test.labels[mistake['image']]
    assert results['class_accuracy'][mistake['class']] is not None
    assert int(mistake['class']) == own
    assert int(mistake['predicted']) == predicted[mistake['image']]
  assert results['network']['weights'] == results['num_weights']
  done = launch('report', f'--workdir={search},{train}')
  assert done.returncode == 0, done.stderr
  assert done.stdout.split() == [str(page) for page in pages]


def test_seeds_average_and_smoothing(searched, tmp_path):
  flags = (
    f'--workdir={tmp_path}',
    f'--config.genotype={searched[0]}/genotype.json',
    *TRAIN,
    '--config.seeds=(3,5)',
    '--config.average=0.9',
    '--config.label_smoothing=0.1',
    '--config.compute=bfloat16',
    '--config.rate_schedule=exponential',
    '--config.rate_decay=0.97',
  )
  done = launch('train', *flags)
  assert done.returncode == 0, done.stderr
  results = json.loads((tmp_path / 'results.json').read_text())
  each = [
    json.loads((tmp_path / f'seed{seed}' / 'results.json').read_text())
    for seed in (3, 5)
  ]
  accuracies = [run['test_accuracy'] for run in each]
  assert results['test_accuracy_by_seed'] == dict(zip('35', accuracies))
  assert results['test_accuracy'] == pytest.approx(np.mean(accuracies))
  spread = np.std(accuracies, ddof=1)
  assert results['test_accuracy_std'] == pytest.approx(spread)
  assert each[0]['train_loss'] != each[1]['train_loss']
  rates = [
    r['learning_rate']
    for r in lines(tmp_path / 'seed3' / 'metrics.jsonl')
    if r['kind'] == 'train'
  ]
  assert rates[-1] == pytest.approx(0.97 * rates[0])


@pytest.mark.parametrize(
  ('launcher', 'flags', 'sentences'),
  [
    (
      'search',
      SEARCH,
      ('48 images for weights', 'when complete', '3 epochs of 3 steps'),
    ),
    (
      'train',
      (*TRAIN, '--config.genotype=DARTS_V2', '--config.seeds=(3,5)'),
      (
        'mult-adds',
        '96 images to train, 40 to test',
        'layers=1 holds no normal cell, layers=3 does: the network has nothing',
        '2 epochs of 6 steps',
        'seeds     3, 5: 2 trainings one after another',
      ),
    ),
  ],
)
def test_dry_run_says_what_would_be_done(tmp_path, launcher, flags, sentences):
  folder = tmp_path / 'none'
  done = launch(launcher, '--dry_run', *flags, f'--workdir={folder}')
  assert done.returncode == 0, done.stderr
  for sentence in (*sentences, f'sheet     {folder}/contact_sheet.png'):
    assert sentence in done.stdout
  # A run may begin there.
  assert [path.name for path in folder.iterdir()] == ['contact_sheet.png']
  with Image.open(folder / 'contact_sheet.png') as sheet:
    assert min(sheet.size) > 64


def test_another_space_from_search_to_report(tmp_path):
  search, train = tmp_path / 'search', tmp_path / 'train'
  done = launch(
    toy_launcher.__file__,
    'search',
    f'--workdir={search}',
    *BENCH,
    '--config.schedule.name=plain',
  )
  assert done.returncode == 0, done.stderr
  assert 'nasbench201: none, skip_connect, nor_conv_1x1' in done.stdout
  (epoch,) = [
    r for r in lines(search / 'metrics.jsonl') if r['kind'] == 'epoch'
  ]
  genotype = json.loads((search / 'genotype.json').read_text())
  assert epoch['genotype'] == genotype
  assert 0 <= epoch['skip_cell'] <= 6
  (alphas,) = lines(search / 'alphas.jsonl')
  assert np.shape(alphas['cell']) == (6, 5)
  # A sweep of such searches has their numbers.
  found = table.result('bench', 0, search, None)
  assert found['skip_cell'] == epoch['skip_cell']
  done = launch(
    'train',
    f'--workdir={train}',
    f'--config.genotype={search}/genotype.json',
    *BENCH,
  )
  assert done.returncode == 0, done.stderr
  results = json.loads((train / 'results.json').read_text())
  assert results['genotype'] == genotype
  network = trained.load_network(train)
  assert network.model.space.name == 'nasbench201'
  images = dataset.load(DataConfig(max_train=96, max_test=40))
  predicted = network(images.test.images).argmax(-1)
  accuracy = (predicted == images.test.labels).mean()
  np.testing.assert_allclose(accuracy, results['test_accuracy'], rtol=1e-6)
  shown = set(Genotype.from_dict(genotype).operations)
  for folder in (search, train):
    page = write_report(folder).read_text()
    assert all(name in page for name in shown - {'none'})
    assert 'nor_conv_1x1' in page or folder == train
    assert 'What the cells are worth, trained' in page or folder == train


def test_a_network_without_an_auxiliary_head(tmp_path):
  done = launch(
    'train',
    f'--workdir={tmp_path}/run',
    *BENCH,
    '--config.auxiliary=True',
    '--config.genotype=|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|',
  )
  assert done.returncode == 2
  assert done.stderr.endswith(
    "error: Expected auxiliary=False: networks of space 'nasbench201' have no "
    'auxiliary head.\n'
  )
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
  ('flag', 'sentence', 'code'),
  [
    ('--config.batch_size=5000', 'batch_size must be at most', 2),
    ('--config.foo=1', 'The config has no field', 2),
    ('--config.epoch=1', '\'epoch\' (Did you mean "epochs" instead of "', 2),
    ('--config.epochs.x=1', "The config has no field 'epochs.x'", 2),
    ('--config=nope.py', 'the config nope.py to be a file; got none', 2),
    ('--config.epochs=abc', 'abc', 2),
    ('--config.data.source=/no/such', 'not a folder', 9),
    ('--profile_steps=7', "such as 10,12; got '7'", 2),
    ('--dry_run --profile_steps=1,2', '--profile_steps traces steps of', 2),
    ('--profile_steps=7,5', 'steps of the run; got 7,5', 2),
  ],
)
def test_wrong_input_is_a_sentence(tmp_path, flag, sentence, code):
  done = launch('search', f'--workdir={tmp_path}/run', *flag.split())
  assert done.returncode == code
  assert sentence in done.stderr
  assert 'Traceback' not in done.stderr
  assert not (tmp_path / 'run').exists()
