"""Claims: what runs say of predictions that were made before."""

import importlib
import json
import pathlib
import sys
import types
from xml.etree import ElementTree

import pytest
from stand_ins import stand_in

from opp_darts_jax.config import ScheduleConfig
from opp_darts_jax.errors import NotFinished
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.method import Progress
from opp_darts_jax.running.sweeps import compare
from opp_darts_jax.spaces.catalogue import get_space

_FOLDER = pathlib.Path(__file__).parents[1] / 'experiments/evidence'


@pytest.fixture(scope='module')
def claims():
  """The modules of experiments/evidence, which import one another by name."""
  sys.path.insert(0, str(_FOLDER))
  names = ('claim', 'verdicts', 'run_claim', 'page', 'schedules', 'paper')
  yield {name: importlib.import_module(name) for name in names}
  sys.path.remove(str(_FOLDER))
  # All of them, also claims: the next ones, of another turn, are new.
  for name, module in list(sys.modules.items()):
    if pathlib.Path(getattr(module, '__file__', None) or '').parent == _FOLDER:
      del sys.modules[name]


def _runs(**accuracies):
  return [
    {'variant': variant, 'seed': seed, 'accuracy': value, 'skips': 1}
    for variant, values in accuracies.items()
    for seed, value in enumerate(values)
  ]


def _claim(lib, *predictions):
  return lib.Claim(
    'toy', 'Is it?', tuple(lib.Prediction(*p) for p in predictions),
    'Made up.', ('digits',), '', dict.fromkeys(('a', 'b', 'c'), ''),
    tuple(range(6)), {'accuracy': 'accuracy'}, ('accuracy',), hours=0,
  )  # fmt: skip


def test_a_verdict_follows_from_the_side_that_was_predicted(claims):
  lib, verdicts = claims['claim'], claims['verdicts']
  claim = _claim(
    lib,
    ('a', 'b', 'accuracy', 'a is better'),
    ('b', 'a', 'accuracy', 'b is better'),
    ('a', 'c', 'accuracy', 'a is better than c'),
    ('a', 'missing', 'accuracy', 'nothing has run'),
  )
  low, high = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), (0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
  mixed = (0.3, 0.3, 0.7, 0.7, 1.0, 0.9)
  found = verdicts.verdicts(claim, _runs(a=high, b=low, c=mixed))
  assert [v.word for v in found] == ['holds', 'does not hold', 'undecided']
  # Of 64 signs one is as one-sided, and three were predicted.
  assert found[0].p == pytest.approx(1 / 64)
  assert found[0].p_holm == pytest.approx(3 / 64)
  assert found[0].effect == 1
  assert found[1].p == 1


def test_a_correlation_is_spearmans_over_all_searches_named(claims):
  lib, verdicts = claims['claim'], claims['verdicts']
  claim = _claim(lib)._replace(
    predictions=(
      lib.Correlation(('a', 'b'), 'skips', 'accuracy', -1, 'skips cost'),
      lib.Correlation(('a', 'b'), 'skips', 'accuracy', 1, 'skips pay'),
      lib.Correlation(('a', 'b'), 'accuracy', 'missing', 1, 'not measured'),
    )
  )
  runs = _runs(a=(0.9, 0.8, 0.7, 0.6), b=(0.5, 0.4, 0.2, 0.3), c=(1, 1, 1, 1))
  runs = [
    run | {'skips': place, 'missing': None} for place, run in enumerate(runs)
  ]
  cost, pay = verdicts.verdicts(claim, runs)
  # One swap of neighbours among eight: 1 - 6 * 2 / (8 * 63).
  assert cost.effect == pytest.approx(1 - 12 / 504)
  assert pay.effect == -cost.effect
  assert (cost.n, cost.difference) == (8, None)
  assert (cost.word, pay.word) == ('holds', 'does not hold')


def test_seeds_without_a_partner_are_left_out(claims):
  lib, verdicts = claims['claim'], claims['verdicts']
  claim = _claim(lib, ('a', 'b', 'accuracy', 'a is better'))
  runs = _runs(a=(0.5, 0.6, 0.7), b=(0.1, 0.2))
  (verdict,) = verdicts.verdicts(claim, runs)
  assert verdict.n == 2
  assert verdict.word == 'undecided'


def test_csv_comes_back_as_it_went(claims, tmp_path):
  lib = claims['claim']
  rows = [
    {'variant': '1e3', 'seed': 0, 'x': 0.1 + 0.2, 'rank': 12},
    {'variant': 'b', 'seed': 1, 'x': None, 'rank': None},
  ]
  compare.write_csv(tmp_path / 'x.csv', rows)
  assert lib.read_csv(tmp_path / 'x.csv') == rows


def test_margin_is_of_stages_that_had_a_choice(claims):
  lines = [
    {
      'kind': 'stage',
      'losses': {'a': 4.0, 'b': 1.0, 'c': 3.0},
      'entered': ['a'],
    },
    {'kind': 'epoch'},
    {'kind': 'stage', 'losses': {'b': 2.0, 'c': 3.0}, 'entered': ['b']},
    {'kind': 'stage', 'losses': {}, 'entered': ['c']},
  ]
  margin = claims['run_claim'].margin
  assert margin(lines) == pytest.approx((1 / 4 + 1 / 2) / 2)
  assert margin(lines[-1:]) is None


@pytest.mark.parametrize(
  'name',
  [
    'nasbench201',
    'order',
    'second_order',
    'spaces',
    'stages',
    'collapse',
    'published',
  ],
)
def test_claims_name_their_variants_and_measures(claims, name):
  claim = importlib.import_module(name).CLAIM
  assert claim.name == name
  for prediction in claim.predictions:
    if isinstance(prediction, claims['claim'].Correlation):
      assert set(prediction.variants) <= set(claim.names)
      assert {prediction.x, prediction.y} <= set(claim.measures)
    else:
      assert {prediction.variant, prediction.than} <= set(claim.names)
      assert prediction.more in claim.measures


def test_claims_are_asked_settled_and_concluded_apart(claims):
  """One that is made from another does not say of itself what that one says."""
  made = [importlib.import_module(n).CLAIM for n in claims['page'].NAMES]
  for field in ('name', 'question', 'settings', 'conclusion'):
    said = [getattr(claim, field) for claim in made if getattr(claim, field)]
    assert len(set(said)) == len(said), field


def test_the_page_says_what_came(claims, tmp_path, monkeypatch):
  lib, page = claims['claim'], claims['page']
  claim = _claim(lib, ('a', 'b', 'accuracy', 'a is better'))
  runs = _runs(a=(0.5, 0.75), b=(0.25, 0.25))
  compare.write_csv(tmp_path / 'runs.csv', runs)
  seconds = [
    {
      'variant': run['variant'],
      'seed': run['seed'],
      'seconds': 1350,
      'machine': 'a CPU' if run['variant'] == 'a' else 'another',
    }
    for run in runs
  ]
  compare.write_csv(tmp_path / 'seconds.csv', seconds)
  compare.write_csv(
    tmp_path / 'epochs.csv', [{**run, 'epoch': 0} for run in runs]
  )
  monkeypatch.setattr(page, 'DOCS', tmp_path)
  text = page.section(claim, tmp_path)
  assert '| a | 2 | 0.625 ± 0.1768 | 1,350 ± 0 |' in text
  assert '4 searches, 1.5 hours' in text
  assert ' one by one, on a CPU (2), another (2).' in text
  assert (
    '| a is better | 2 | +0.375 | 0.250 | 0.250 | +1.00 | undecided |' in text
  )
  picture = ElementTree.parse(tmp_path / 'evidence/toy.svg').getroot()
  svg = '{http://www.w3.org/2000/svg}'
  # It has a ground of its own, for pages that are dark, and a chart a variant.
  assert picture.find(f'{svg}rect').get('fill') == '#ffffff'
  said = {p.get('aria-label') for p in picture.iter(f'{svg}svg')}
  assert {'a: it is 0.250; it is 0.625', 'b: it is 0.625; it is 0.250'} <= said
  texts = {text.text for text in picture.iter(f'{svg}text')}
  assert {'a', 'b', 'accuracy, by epoch', 'others'} <= texts


def test_a_claim_runs_its_searches_and_goes_on(claims, tmp_path, monkeypatch):
  stand_in(tmp_path, monkeypatch)
  claim = _claim(claims['claim'])._replace(
    configs=('s2', 's3'),
    variants={'DARTS': '', 'OPP': '--config.schedule.name=progressive'},
    seeds=(0, 1),
    measures=dict.fromkeys(('truth_test_cifar10', 'test_accuracy'), ''),
    train='--config.epochs=1',
  )

  def run(*seeds, configs=(), variants=()):
    folder = tmp_path / 'results'
    work = tmp_path / 'work'
    own = claim._replace(seeds=seeds)
    claims['run_claim'].run(own, work, 1, configs, variants, results=folder)
    return claims['claim'].read_csv(folder / 'toy/runs.csv')

  assert len(run(1, configs=['s2'], variants=['OPP'])) == 1
  assert len(run(1, variants=['OPP'])) == 2
  assert len(run(0)) == 6  # The others' lines stay.
  found = run(0, 1)
  assert [row['variant'] for row in found] == [*claim.names] * 2
  assert found[5] == {
    'variant': 's2 OPP',
    'seed': 1,
    'truth_test_cifar10': 3 / 16,
    'test_accuracy': 0.6,
  }
  assert {row['variant'] for row in found} == set(claim.names)
  seconds = claims['claim'].read_csv(tmp_path / 'results/toy/seconds.csv')
  assert {row['seconds'] for row in seconds} == {3.5}
  assert {row['machine'] for row in seconds} == {'unknown'}


def test_a_claim_that_is_stopped_ends_with_a_sentence(
  claims, monkeypatch, capsys
):
  def stop(*_):
    raise NotFinished('1 of 9 runs are finished.')

  monkeypatch.setattr(claims['run_claim'], 'run', stop)
  monkeypatch.setattr(sys, 'argv', ['toy.py'])
  monkeypatch.setenv('NPROC', '2')
  with pytest.raises(SystemExit) as ended:
    claims['run_claim'].main(_claim(claims['claim']))
  assert ended.value.code == 75
  assert capsys.readouterr().err == 'stopped: 1 of 9 runs are finished.\n'


def test_skips_enter_when_the_progressive_schedule_would_let_them(
  claims, monkeypatch
):
  lib = claims['schedules']
  monkeypatch.setattr(lib.growth, 'entry_key', lambda key, count: (key, key))
  monkeypatch.setattr(
    lib.growth, 'grow', lambda state, fresh, search, active, entered: state
  )
  search = types.SimpleNamespace(
    space=get_space('s3'), key=None, fresh=lambda key: None
  )
  schedule = ScheduleConfig(stage_epochs=3)
  method = lib.skips_late(darts(), schedule)
  stages = []
  for epoch in range(9):
    change = method.begin_epoch(search, None, epoch, stages)
    stages += [change.stage] if change.stage else []
  # Three operations: OPP-DARTS's enter at 0, 3 and 6, this one with the last.
  assert [(s.epoch, s.entered) for s in stages] == [
    (0, ('none', 'sep_conv_3x3')),
    (6, ('skip_connect',)),
  ]


def test_alphas_rest_for_a_stage(claims):
  schedule = ScheduleConfig(stage_epochs=3)
  method = claims['schedules'].alphas_late(darts(), schedule)
  trains = [
    method.trains_alphas(Progress(0, epoch, epochs=9)) for epoch in (0, 2, 3, 8)
  ]
  assert trains == [False, False, True, True]


def test_the_papers_tables_choose_without_test_images_and_go_on(
  claims, tmp_path, monkeypatch
):
  paper = claims['paper']
  stand_in(tmp_path, monkeypatch)
  tables = {
    's2': paper.Table('s2', 2, 3, 2.93),
    'imagenet': paper.Table('imagenet', 0, 1, 25.61, cell_of='s2'),
  }
  monkeypatch.setattr(paper, 'TABLES', tables)
  work = tmp_path / 'paper'
  found = paper.run(['s2'], work, jobs=2)
  # The stand-in's accuracy is larger the larger the seed: 0.5, 0.6, 0.7.
  assert found['s2']['errors'] == pytest.approx([50, 40, 30])
  assert found['s2']['mean'] == pytest.approx(40)
  assert found['s2']['spread'] == pytest.approx(10)
  assert found['s2']['cell'] == str(work / 's2/s2/seed1/search/genotype.json')
  flags = json.loads((work / 's2/sweep.json').read_text())['train_flags']
  assert '--config.data.held_out=0.1' in flags
  both = paper.run(['s2', 'imagenet'], work)
  assert both['s2'] == found['s2']
  assert both['imagenet']['cell'] == found['s2']['cell']
  assert both['imagenet']['spread'] is None
  assert paper.run(['imagenet'], work) == {'imagenet': both['imagenet']}
  assert json.loads((work / 'paper.json').read_text()) == both
  # A part that runs a second time would add a line.
  assert all(
    log.read_text().count('called') == 1 for log in work.rglob('*.log')
  )
