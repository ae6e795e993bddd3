"""Tests of the report: numbers, the geometry of cells, the files written."""

import itertools
import json
import math
import pathlib
import random
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from opp_darts_jax import errors
from opp_darts_jax.reporting import cell_layout, cell_plot, curve_plot, report

ROOT = pathlib.Path(__file__).parents[2]
OPERATIONS = ['none', 'max_pool_3x3', 'skip_connect', 'sep_conv_3x3']
DARTS = [
  ('sep_conv_3x3', 0),
  ('sep_conv_3x3', 1),
  ('sep_conv_3x3', 0),
  ('sep_conv_3x3', 1),
  ('sep_conv_3x3', 1),
  ('skip_connect', 0),
  ('skip_connect', 0),
  ('dil_conv_3x3', 2),
]
CHAIN = [('sep_conv_5x5', n // 2 + 1) for n in range(10)]
GENOTYPE = {
  'normal': DARTS,
  'normal_concat': [2, 3, 4, 5],
  'reduce': CHAIN[:8],
  'reduce_concat': [2, 3, 4, 5],
}


def random_cell(seed):
  rng = random.Random(seed)
  nodes = rng.randint(1, 6)
  names = [*OPERATIONS, 'dil_conv_5x5', 'conv_7x1_1x7']
  entries = [
    (rng.choice(names), rng.randrange(2 + n // 2)) for n in range(2 * nodes)
  ]
  return entries, rng.sample(range(2, 2 + nodes), rng.randint(1, nodes))


CELLS = [(DARTS, [2, 3, 4, 5]), (CHAIN, [4, 6])] + [
  random_cell(seed) for seed in range(12)
]


def write_lines(path, records):
  path.write_text(''.join(json.dumps(record) + '\n' for record in records))


def search_records(epochs=2, steps=10):
  for epoch in range(epochs):
    start = epoch * steps
    entered = OPERATIONS[3 - epoch]
    losses = {name: 2.0 + len(name) for name in OPERATIONS[: 4 - epoch]}
    yield {
      'kind': 'stage',
      'stage': epoch,
      'epoch': epoch,
      'step': start,
      'losses': losses if epoch else None,
      'entered': [entered],
      'active': OPERATIONS[3 - epoch :],
    }
    for step in (start, start + 5):
      yield {
        'kind': 'train',
        'epoch': epoch,
        'step': step,
        'train_loss': 2.0,
        'train_accuracy': 0.3,
        'val_loss': 2.1,
        'val_accuracy': 0.2,
        'learning_rate': 0.025,
      }
    yield {
      'kind': 'epoch',
      'epoch': epoch,
      'step': start + steps,
      'train_loss': 1.9,
      'train_accuracy': 0.4,
      'eval_loss': 2.0,
      'eval_accuracy': 0.35,
      'skip_normal': 2,
      'skip_reduce': 0,
      'genotype': GENOTYPE,
    }


@pytest.fixture
def search_dir(tmp_path):
  config = {'space': 'darts', 'seed': 3, 'epochs': 2, 'data': {'source': 'a<b'}}
  (tmp_path / 'config.json').write_text(json.dumps(config))
  (tmp_path / 'genotype.json').write_text(json.dumps(GENOTYPE))
  write_lines(tmp_path / 'metrics.jsonl', search_records())
  alphas = [
    {
      'epoch': epoch,
      'step': 10 * (epoch + 1),
      'operations': OPERATIONS,
      'normal': [[None, None, None if epoch == 0 else 0.1, 0.2]] * 14,
      'reduce': [[None, None, None, 0.0]] * 14,
    }
    for epoch in range(2)
  ]
  write_lines(tmp_path / 'alphas.jsonl', alphas)
  times = [{'epoch': n, 'steps': 10, 'seconds': 45.0} for n in range(2)]
  write_lines(tmp_path / 'times.jsonl', times)
  return tmp_path


@pytest.fixture
def training_dir(tmp_path):
  (tmp_path / 'genotype.json').write_text(json.dumps(GENOTYPE))
  results = {
    'test_accuracy': 0.9724,
    'test_loss': 0.1,
    'num_weights': 3349342,
    'class_accuracy': {'cat': 0.75, 'dog': 1.0, 'emu': None},
    'confusion': [[3, 1, 0], [0, 17, 0], [0, 0, 0]],
  }
  (tmp_path / 'results.json').write_text(json.dumps(results))
  write_lines(
    tmp_path / 'metrics.jsonl',
    [
      {
        'kind': 'train',
        'epoch': 0,
        'step': 4,
        'train_loss': 2.0,
        'train_accuracy': 0.3,
        'learning_rate': 0.025,
      },
      {
        'kind': 'epoch',
        'epoch': 0,
        'step': 9,
        'train_loss': 1.5,
        'train_accuracy': 0.4,
        'test_loss': 1.4,
        'test_accuracy': 0.5,
      },
    ],
  )
  return tmp_path


def names(paths):
  return {path.name for path in paths}


def pictures(*stems):
  return {f'{stem}.{ext}' for stem in stems for ext in ('svg', 'png')}


def svg_texts(path):
  root = ElementTree.parse(path).getroot()
  return [''.join(e.itertext()) for e in root.iter() if e.tag.endswith('text')]


def test_mean_weight_is_over_the_active_operations_of_each_edge():
  weights = curve_plot.operation_weights(
    [[None, 0.0, math.log(3.0)], [None, None, 5.0], [None, None, None]]
  )
  assert math.isnan(weights[0])
  assert weights[1:] == pytest.approx([0.25, (0.75 + 1.0) / 2])


def test_weights_of_large_alphas_do_not_overflow():
  weights = curve_plot.operation_weights([[1000.0, 1000.0]])
  assert weights == pytest.approx([0.5, 0.5])


def test_skip_share():
  assert curve_plot.skip_share(DARTS) == 0.25
  assert curve_plot.skip_share([]) == 0.0


def test_steps_per_epoch():
  assert curve_plot.steps_per_epoch(list(search_records())) == 10
  assert curve_plot.steps_per_epoch([{'kind': 'train', 'step': 3}]) is None


def test_operations_of_a_kind_share_a_colour():
  style = cell_plot.operation_style
  assert style('sep_conv_3x3') == style('sep_conv_5x5')
  kinds = ['skip_connect', 'avg_pool_3x3', 'sep_conv_3x3', 'dil_conv_3x3']
  assert len({style(name).color for name in [*kinds, 'none']}) == 5


def test_depth_is_the_longest_path():
  assert cell_layout.node_depths(DARTS) == [0, 0, 1, 1, 1, 2]
  assert cell_layout.node_depths(CHAIN) == [0, 0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize('entries', [[('none', 0)], [('none', 0), ('none', 2)]])
def test_impossible_cell(entries):
  with pytest.raises(errors.UserError, match='two edges from earlier nodes'):
    cell_layout.node_depths(entries)


@pytest.mark.parametrize(('entries', 'concat'), CELLS)
def test_nothing_overlaps(entries, concat):
  layout = cell_layout.layout_cell(entries, concat)
  boxes = list(zip(layout.items, layout.centers))
  for (one, (x1, y1)), (two, (x2, y2)) in itertools.combinations(boxes, 2):
    apart_x = abs(x1 - x2) - (one.size[0] + two.size[0]) / 2
    apart_y = abs(y1 - y2) - (one.size[1] + two.size[1]) / 2
    assert max(apart_x, apart_y) > 0.09, (one, two)


@pytest.mark.parametrize(('entries', 'concat'), CELLS)
def test_edges_run_from_left_to_right_through_one_label(entries, concat):
  layout = cell_layout.layout_cell(entries, concat)
  assert len(layout.chains) == len(entries) + len(concat)
  for index, chain in enumerate(layout.chains):
    xs = [layout.centers[i][0] for i in chain]
    assert xs == sorted(set(xs))
    texts = [layout.items[i].text for i in chain if layout.items[i].text]
    assert texts == ([entries[index][0]] if index < len(entries) else [])
  for index, (_, source) in enumerate(entries):
    ends = layout.chains[index][0], layout.chains[index][-1]
    assert ends == (source, 2 + index // 2)


def test_spread_keeps_order_and_gaps():
  assert cell_layout.spread([0, 5], [1, 1], [1]) == [0, 5]
  assert cell_layout.spread([0, 0, 9], [1, 1, 1], [1, 1]) == [-0.5, 0.5, 9]
  assert cell_layout.spread([1, 0], [3, 1], [1]) == [0.5, 1.5]


def test_text_fits_its_label():
  fig = cell_plot.plot_cell(
    [('max_pool_3x3', 0), ('conv_7x1_1x7', 1)], concat=[2]
  )
  fig.canvas.draw()
  fitting = [t for t in fig.axes[0].texts if '_pool_' in t.get_text()]
  fitting += [t for t in fig.axes[0].texts if '7x1' in t.get_text()]
  for text in fitting:
    width, height = cell_layout.Item('label', 0, 0, text.get_text()).size
    extent = text.get_window_extent()
    assert extent.width / fig.dpi < width
    assert extent.height / fig.dpi < height
  assert len(fitting) == 2


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


def launch(*flags):
  return subprocess.run(
    [sys.executable, ROOT / 'experiments' / 'report.py', *flags],
    capture_output=True,
    text=True,
    check=False,
    env={'PYTHONPATH': str(ROOT)},
  )


def test_launcher_prints_the_files(training_dir):
  done = launch(f'--workdir={training_dir}')
  assert done.returncode == 0, done.stderr
  assert str(training_dir / 'report' / 'index.html') in done.stdout


def test_launcher_says_what_is_wrong(tmp_path):
  done = launch(f'--workdir={tmp_path / "nowhere"}')
  assert done.returncode == 2
  assert done.stdout == ''
  assert done.stderr.startswith('error: Expected the folder of a run')
  assert 'Traceback' not in done.stderr
