"""Tests of the report: the files read, the files written."""

import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from genotype_cells import BENCH
from launched import ROOT, launch, run
from run_files import (
  DARTS,
  GENOTYPE,
  OPERATIONS,
  search_records,
  write_lines,
  write_search,
  write_training,
)

from opp_darts_jax import errors
from opp_darts_jax.reporting import report


@pytest.fixture
def search_dir(tmp_path):
  write_search(tmp_path)
  return tmp_path


@pytest.fixture
def training_dir(tmp_path):
  write_training(tmp_path)
  return tmp_path


def names(paths):
  return {path.name for path in paths}


def pictures(*stems):
  return {f'{stem}.{ext}' for stem in stems for ext in ('svg', 'png')}


def svg_texts(path):
  root = ElementTree.parse(path).getroot()
  return [''.join(e.itertext()) for e in root.iter() if e.tag.endswith('text')]


def test_report_of_a_search(search_dir):
  written = report.write_report(search_dir)
  expected = pictures('normal', 'reduce', 'curves', 'stages') | {'index.html'}
  assert names(written) == expected
  assert {path.parent for path in written} == {search_dir / 'report'}
  texts = svg_texts(search_dir / 'report' / 'normal.svg')
  for operation in {operation for operation, _ in DARTS}:
    count = sum(operation == name for name, _ in DARTS)
    assert texts.count(operation) == count
  curves = svg_texts(search_dir / 'report' / 'curves.svg')
  assert 'epoch' in curves
  assert 'sep_conv_3x3' in curves
  assert 'stage 1, epoch 1' in svg_texts(search_dir / 'report' / 'stages.svg')
  page = (search_dir / 'report' / 'index.html').read_text()
  assert 'a&lt;b' in page
  assert page.count('<img') == 4


def test_report_of_one_kind_of_cell(search_dir):
  (search_dir / 'genotype.json').write_text(BENCH.to_json())
  records = [{**r, 'genotype': BENCH.to_dict()} for r in search_records()]
  write_lines(search_dir / 'metrics.jsonl', records)
  line = {
    'epoch': 0,
    'step': 10,
    'operations': OPERATIONS,
    'cell': [[0.1, 0.2, None, 0.3]] * 6,
    'edges': {'cell': [0.1] * 6},
  }
  write_lines(search_dir / 'alphas.jsonl', [line])
  space = {
    'name': 'my space',
    'operations': [
      {'name': 'avg_pool_3x3', 'drawn': 'blur', 'parametric': False}
    ],
  }
  (search_dir / 'space.json').write_text(json.dumps(space))
  written = report.write_report(search_dir)
  assert names(written) == pictures('cell', 'curves', 'stages') | {'index.html'}
  texts = svg_texts(search_dir / 'report' / 'cell.svg')
  assert texts.count('nor_conv_3x3') == texts.count('skip_connect') == 2
  assert {'blur', 'convolution', 'none'} <= set(texts)
  assert 'mean weight' in svg_texts(search_dir / 'report' / 'curves.svg')
  page = (search_dir / 'report' / 'index.html').read_text()
  assert '<h2>Cell</h2>\n<img src="cell.svg" alt="Cell">' in page
  assert '<td>my space</td>' in page


def test_kinds_of_cells_that_are_no_names_of_files(search_dir):
  cell = BENCH.to_dict()['cells']['cell']
  cells = {'curves': cell, '../<up>': cell}
  (search_dir / 'genotype.json').write_text(json.dumps({'cells': cells}))
  written = report.write_report(search_dir)
  assert pictures('cell_curves', '____up_', 'curves') <= names(written)
  assert {path.parent for path in written} == {search_dir / 'report'}
  page = (search_dir / 'report' / 'index.html').read_text()
  assert '<h2>Cell ../&lt;up&gt;</h2>' in page


@pytest.mark.parametrize(
  ('name', 'text', 'message'),
  [
    ('space.json', '{"operations": ["a"]}', "'name' and 'drawn' .* got 'a'"),
    ('space.json', '[]', r'Expected an object in .*space.json, got \[\]'),
    ('genotype.json', '{"normal": []}', 'Expected a genotype with the fields'),
    ('genotype.json', '{', 'genotype.json is not JSON'),
  ],
)
def test_files_that_make_no_sense(search_dir, name, text, message):
  (search_dir / name).write_text(text)
  with pytest.raises(errors.UserError, match=message):
    report.write_report(search_dir)


def test_reports_need_no_jax():
  code = (
    'import sys, opp_darts_jax.reporting.report\n'
    "assert 'matplotlib' in sys.modules\n"
    "print({'jax', 'flax', 'optax'} & set(sys.modules))"
  )
  done = subprocess.run(
    [sys.executable, '-c', code],
    capture_output=True,
    text=True,
    check=True,
    env={'PYTHONPATH': str(ROOT)},
  )
  assert done.stdout.strip() == 'set()'


def test_same_files_give_the_same_pictures(search_dir):
  svgs = [p for p in report.write_report(search_dir) if p.suffix == '.svg']
  before = [path.read_bytes() for path in svgs]
  report.write_report(search_dir)
  assert before == [path.read_bytes() for path in svgs]


def test_report_of_a_training_run(training_dir):
  written = report.write_report(training_dir)
  expected = pictures('normal', 'reduce', 'curves', 'confusion')
  assert names(written) == expected | {'index.html'}
  texts = svg_texts(training_dir / 'report' / 'confusion.svg')
  assert texts.count('17') == texts.count('3') == 1
  assert texts.count('0') == 0
  assert texts.count('emu') == 2
  page = (training_dir / 'report' / 'index.html').read_text()
  assert '0.9724' in page
  assert '3349342' in page
  curves = svg_texts(training_dir / 'report' / 'curves.svg')
  assert {'loss', 'accuracy', 'learning rate', 'train', 'test'} <= set(curves)


def test_report_of_several_seeds(tmp_path):
  results = {
    'seeds': [0, 4],
    'test_accuracy': 0.91,
    'test_accuracy_std': 0.0123456,
    'test_accuracy_by_seed': {'0': 0.9, '4': 0.92},
    'epochs': 7,
  }
  (tmp_path / 'results.json').write_text(json.dumps(results))
  (tmp_path / 'genotype.json').write_text(json.dumps(GENOTYPE))
  written = names(report.write_report(tmp_path))
  assert written == pictures('normal', 'reduce') | {'index.html'}
  page = (tmp_path / 'report' / 'index.html').read_text()
  for text in ('0.01235', '0.9, 0.92', '<td>7</td>'):
    assert text in page


def test_run_in_progress(search_dir):
  """The cells are those of the last epoch; a line half written is ignored."""
  (search_dir / 'genotype.json').unlink()
  with (search_dir / 'metrics.jsonl').open('a') as file:
    file.write('{"kind": "train", "epo')
  written = report.write_report(search_dir)
  assert pictures('normal', 'reduce', 'stages') <= names(written)


@pytest.mark.parametrize('count', [0, 1, 2])
def test_run_that_has_just_begun(tmp_path, count):
  first = list(search_records())[:count]
  write_lines(tmp_path / 'metrics.jsonl', first)
  written = names(report.write_report(tmp_path))
  assert written == (pictures('curves') if count else set()) | {'index.html'}


def test_lines_that_a_resumed_run_repeats_count_once(search_dir):
  metrics = search_dir / 'metrics.jsonl'
  metrics.write_text(metrics.read_text() * 2)
  report.write_report(search_dir)
  assert '2 of 2' in (search_dir / 'report' / 'index.html').read_text()


def test_not_a_run(tmp_path):
  with pytest.raises(errors.UserError, match=r'metrics\.jsonl; .* has none\.'):
    report.write_report(tmp_path)
  with pytest.raises(errors.UserError, match=r'does not exist\.'):
    report.write_report(tmp_path / 'nowhere')
  assert not list(tmp_path.iterdir())
  (tmp_path / 'file').touch()
  with pytest.raises(errors.UserError, match=r'is no folder\.'):
    report.write_report(tmp_path / 'file')


ODD = ['caf\udce9', 'a$_$b$^$', 'two\nlines', '<&>', '\u200b', '猫']


@pytest.mark.filterwarnings('ignore:Glyph')
def test_odd_names_of_classes_and_operations(training_dir):
  results = {
    'class_accuracy': dict.fromkeys(ODD, 0.5),
    'confusion': [[1] * len(ODD)] * len(ODD),
  }
  (training_dir / 'results.json').write_text(json.dumps(results))
  cells = BENCH.to_dict()
  for edge, name in zip(cells['cells']['cell']['edges'], ODD):
    edge[0] = name
  (training_dir / 'genotype.json').write_text(json.dumps(cells))
  report.write_report(training_dir)
  shown = {'caf\ufffd', 'a$_$b$^$', 'two\ufffdlines', '<&>', '\ufffd', '猫'}
  for picture in ('confusion', 'cell'):
    texts = svg_texts(training_dir / 'report' / f'{picture}.svg')
    assert shown <= set(texts)


def test_a_folder_whose_name_is_no_text(tmp_path):
  folder = tmp_path / 'caf\udce9'
  folder.mkdir()
  write_training(folder)
  done = launch('report', f'--workdir={folder}')
  assert done.returncode == 0, done.stderr
  assert 'caf\udce9/report/index.html' in done.stdout
  assert 'caf?' in (folder / 'report' / 'index.html').read_text()


def test_numbers_that_are_none(search_dir):
  records = [
    {**r, 'train_loss': None, 'val_loss': float('nan'), 'eval_accuracy': None}
    for r in search_records()
  ]
  write_lines(search_dir / 'metrics.jsonl', records)
  written = names(report.write_report(search_dir))
  assert pictures('curves', 'normal') <= written


def test_lines_that_are_no_text(search_dir):
  metrics = search_dir / 'metrics.jsonl'
  metrics.write_bytes(b'\xff\xfe{}\n' + metrics.read_bytes())
  assert pictures('curves') <= names(report.write_report(search_dir))


def test_a_search_and_a_training_in_one_folder(search_dir):
  lines = (search_dir / 'metrics.jsonl').read_text()
  write_training(search_dir)
  with (search_dir / 'metrics.jsonl').open('a') as file:
    file.write(lines)
  written = names(report.write_report(search_dir))
  assert pictures('curves', 'normal', 'confusion') <= written


@pytest.mark.parametrize(
  ('name', 'content', 'sentence'),
  [
    ('metrics.jsonl', '{"loss": 1}\n[2]\n', 'in .*; none of its 1 lines has a'),
    (
      'metrics.jsonl',
      '{"kind": 3, "epoch": 0, "step": 1}\n',
      'none of its 1 l',
    ),
    (
      'metrics.jsonl',
      '{"kind": "stage", "epoch": 0, "step": 1, "losses": {"a": 1}}\n',
      'one run in .*, but they do not fit',
    ),
    ('alphas.jsonl', '{"epoch": 0}\n', "do not fit together: KeyError: 'opera"),
    ('results.json', '{"confusion": [[1]]}', 'not fit together: KeyError'),
    ('results.json', '{"confusion": 3, "class_accuracy": {}}', 'not fit'),
    ('config.json', '{"data": [1]}', 'not fit together: AttributeError'),
    ('times.jsonl', '{"seconds": "1"}\n', 'not fit together: TypeError'),
  ],
)
def test_files_of_something_else(search_dir, name, content, sentence):
  (search_dir / name).write_text(content)
  with pytest.raises(errors.UserError, match=sentence):
    report.write_report(search_dir)


def test_without_a_config(search_dir):
  (search_dir / 'config.json').unlink()
  report.write_report(search_dir)
  assert '2 of ?' in (search_dir / 'report' / 'index.html').read_text()


def test_launcher_prints_the_files(training_dir):
  launcher = str(ROOT / 'experiments' / 'report.py')
  done = run([sys.executable, launcher, f'--workdir={training_dir}'])
  assert done.returncode == 0, done.stderr
  assert str(training_dir / 'report' / 'index.html') in done.stdout


def test_launcher_says_what_is_wrong(tmp_path):
  done = launch('report', f'--workdir={tmp_path / "nowhere"}')
  assert done.returncode == 2
  assert done.stdout == ''
  assert done.stderr.startswith('error: Expected the folder of a run')
  assert 'Traceback' not in done.stderr
