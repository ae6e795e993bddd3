"""Claims: what runs say of predictions that were made before."""

import importlib
import pathlib
import sys
from xml.etree import ElementTree

import pytest

_FOLDER = pathlib.Path(__file__).parents[1] / 'experiments/evidence'


@pytest.fixture(scope='module')
def claims():
  """The modules of experiments/evidence, which import one another by name."""
  sys.path.insert(0, str(_FOLDER))
  names = ('claim', 'page')
  yield {name: importlib.import_module(name) for name in names}
  sys.path.remove(str(_FOLDER))
  for name in names:
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
    'Made up.', 'digits', '', dict.fromkeys(('a', 'b', 'c'), ''),
    tuple(range(6)), ('accuracy',), ('accuracy',), hours=0,
  )  # fmt: skip


def test_a_verdict_follows_from_the_side_that_was_predicted(claims):
  lib = claims['claim']
  claim = _claim(
    lib,
    ('a', 'b', 'accuracy', 'a is better'),
    ('b', 'a', 'accuracy', 'b is better'),
    ('a', 'c', 'accuracy', 'a is better than c'),
    ('a', 'missing', 'accuracy', 'nothing has run'),
  )
  low, high = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), (0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
  mixed = (0.3, 0.3, 0.7, 0.7, 1.0, 0.9)
  found = lib.verdicts(claim, _runs(a=high, b=low, c=mixed))
  assert [v.word for v in found] == ['holds', 'does not hold', 'undecided']
  # Of 64 signs one is as one-sided, and three were predicted.
  assert found[0].found.p == pytest.approx(1 / 64)
  assert found[0].p_holm == pytest.approx(3 / 64)
  assert found[0].found.effect == 1
  assert found[1].found.p == 1


def test_seeds_without_a_partner_are_left_out(claims):
  lib = claims['claim']
  claim = _claim(lib, ('a', 'b', 'accuracy', 'a is better'))
  (verdict,) = lib.verdicts(claim, _runs(a=(0.5, 0.6, 0.7), b=(0.1, 0.2)))
  assert verdict.found.pairs == 2
  assert verdict.word == 'undecided'


def test_csv_comes_back_as_it_went(claims, tmp_path):
  lib = claims['claim']
  rows = [
    {'variant': '1e3', 'seed': 0, 'x': 0.1 + 0.2, 'rank': 12},
    {'variant': 'b', 'seed': 1, 'x': None, 'rank': None},
  ]
  lib.write_csv(tmp_path / 'x.csv', rows)
  assert lib.read_csv(tmp_path / 'x.csv') == rows


@pytest.mark.parametrize('name', ['nasbench201'])
def test_claims_name_their_variants_and_measures(claims, name):
  claim = importlib.import_module(name).CLAIM
  assert claim.name == name
  for prediction in claim.predictions:
    assert {prediction.variant, prediction.than} <= set(claim.variants)
    assert prediction.more in claim.measures


def test_the_page_says_what_came(claims, tmp_path, monkeypatch):
  lib, page = claims['claim'], claims['page']
  claim = _claim(lib, ('a', 'b', 'accuracy', 'a is better'))
  runs = _runs(a=(0.5, 0.75), b=(0.25, 0.25))
  lib.write_csv(tmp_path / 'runs.csv', runs)
  seconds = [{'variant': 'a', 'seed': 0, 'seconds': 5400}]
  lib.write_csv(tmp_path / 'seconds.csv', seconds)
  lib.write_csv(tmp_path / 'epochs.csv', [{**run, 'epoch': 0} for run in runs])
  monkeypatch.setattr(page, 'DOCS', tmp_path)
  text = page.section(claim, tmp_path)
  assert '| a | 2 | 0.625 ± 0.1768 |' in text
  assert '4 searches, 1.5 hours' in text
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
  assert {'a', 'b', 'accuracy by epoch', 'others'} <= texts
