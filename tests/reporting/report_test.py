"""Tests of a run's page: the files read, and what it says of them."""

import base64
import dataclasses
import io
import json
import os
import socket
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from genotype_cells import BENCH
from launched import ROOT, launch, run
from pages import Page
from PIL import Image
from run_files import (
  GENOTYPE,
  OPERATIONS,
  search_records,
  write_lines,
  write_search,
  write_training,
)

from opp_darts_jax import errors
from opp_darts_jax.genotypes.graph import CellGraph
from opp_darts_jax.reporting import (
  compare_parts,
  compared,
  figures,
  monitor_parts,
  report,
  run_files,
  search_parts,
  styles,
)


@pytest.fixture
def search_dir(tmp_path):
  write_search(tmp_path)
  return tmp_path


@pytest.fixture
def training_dir(tmp_path):
  write_training(tmp_path)
  return tmp_path


def page_of(folder):
  path = report.write_report(folder)
  assert path == folder / 'report.html'
  return Page(path)


def test_page_of_a_search(search_dir):
  page = page_of(search_dir)
  sections = ['cells', 'stages', 'collapse', 'alphas', 'curves', 'cost']
  assert page.sections == sections
  assert 'a&lt;b' in page.source
  assert 'a<b' in page.text
  assert (
    'In 2 epochs (1 min 30 s) the search found a normal cell with 2 skip '
    'connections on its 8 edges, judged collapsed; the supernet classifies '
    '35.0 % of D_val' in page.text
  )
  assert '2 of 2' in page.text
  assert 'Stage 1 , epoch 1' in page.text.replace('Stage 1, ', 'Stage 1 , ')
  # A frame for each kind of cell, since none changed; every edge is written.
  frames = page.attributes('div', 'data-first')
  assert frames == ['0', '0']
  graphs = [
    a for t, a in page.elements if t == 'svg' and a.get('class') == 'graph'
  ]
  assert 'node 0 = sep_conv_3x3 of c[k−2] + ' in graphs[0]['aria-label']
  # A small chart for each of 14 edges of both cells, and no chart is unnamed.
  charts = [a for t, a in page.elements if t == 'svg' and 'role' in a]
  assert all(a['aria-label'] for a in charts)
  assert page.source.count('200.0 112.0') == 28
  assert page.attributes('input', 'max') == ['1']


def test_a_page_needs_nothing_else(search_dir, training_dir):
  page = page_of(search_dir)
  addresses = page.attributes('img', 'src') + page.attributes('link', 'href')
  assert addresses == ['data:,']
  assert not page.attributes('script', 'src')
  for word in ('http:', 'https:', '@import', 'url(//'):
    assert word not in page.source
  assert len(page.source) < 300_000


def test_cells_through_the_epochs(search_dir):
  records = list(search_records(epochs=4))
  ends = [r for r in records if r['kind'] == 'epoch']
  other = {**GENOTYPE, 'normal': [['max_pool_3x3', 1], *GENOTYPE['normal'][1:]]}
  for record in ends[2:]:
    record['genotype'] = other
  write_lines(search_dir / 'metrics.jsonl', records)
  (search_dir / 'genotype.json').write_text(json.dumps(other))
  page = page_of(search_dir)
  frames = [a for t, a in page.elements if 'data-first' in a]
  spans = [(a['data-first'], a['data-last'], a['data-change']) for a in frames]
  assert spans == [('0', '1', 'the first'), ('2', '3', '1 new edge'),
                   ('0', '3', 'the first')]  # fmt: skip
  assert ['hidden' in a for a in frames] == [True, False, False]


def test_a_cell_is_the_same_in_another_order_and_may_lose_edges(search_dir):
  def told(edges):
    cell = {'inputs': 1, 'edges': edges, 'output': [2]}
    return {'cells': {'cell': cell}}

  edges = [['skip_connect', 0, 1], ['skip_connect', 0, 2], ['none', 1, 2]]
  records = list(search_records(epochs=3))
  ends = [r for r in records if r['kind'] == 'epoch']
  for record, own in zip(
    ends, (edges, [edges[i] for i in (0, 2, 1)], edges[:2])
  ):
    record['genotype'] = told(own)
  write_lines(search_dir / 'metrics.jsonl', records)
  (search_dir / 'genotype.json').write_text(json.dumps(told(edges[:2])))
  page = page_of(search_dir)
  frames = [a for t, a in page.elements if 'data-first' in a]
  spans = [(a['data-first'], a['data-last'], a['data-change']) for a in frames]
  assert spans == [('0', '1', 'the first'), ('2', '2', 'edges left out')]


def write_early_stop(folder, skips, gave):
  """A search in NAS-Bench-201: the skips of its epochs, and of what it gave."""

  def told(count):
    names = ['skip_connect'] * count + ['nor_conv_3x3'] * (6 - count)
    edges = [[s, n] for n in range(1, 4) for s in range(n)]
    cell = {'inputs': 1, 'output': [3]}
    cell['edges'] = [[name, *edge] for name, edge in zip(names, edges)]
    truth = {'truth_test_cifar10': 0.9 - 0.1 * count,
             'truth_regret_cifar10': 0.1 * count}  # fmt: skip
    return {**truth, 'genotype': {'cells': {'cell': cell}}}

  lines = [{'kind': 'stop', 'epoch': len(skips), 'step': 10 * len(skips)}]
  alphas = []
  for epoch, count in enumerate(skips):
    at = {'epoch': epoch, 'step': 10 * (epoch + 1)}
    numbers = {'skip_cell': count, 'skip_share_cell': count / 6}
    lines.append({'kind': 'epoch', **at, **numbers, **told(count)})
    table = [[0.1 * epoch, 0.2, 0.1, -epoch / 2]] * 6
    alphas.append({**at, 'operations': OPERATIONS, 'cell': table})
  write_lines(folder / 'metrics.jsonl', lines)
  write_lines(folder / 'alphas.jsonl', alphas)
  results = {'ended_by': 'the method', 'epochs': len(skips), **told(gave)}
  (folder / 'results.json').write_text(json.dumps(results))
  (folder / 'genotype.json').write_text(json.dumps(results['genotype']))
  graph = CellGraph(1, 3, (3,))
  space = {'name': 'nasbench201', 'graph': dataclasses.asdict(graph)}
  (folder / 'space.json').write_text(json.dumps(space))


def test_a_search_that_gives_the_cell_of_an_earlier_epoch(tmp_path):
  write_early_stop(tmp_path, [0, 1, 1, 6], gave=1)
  page = page_of(tmp_path)
  assert (
    'In 4 epochs the search found a cell with 1 skip connection on its 6 '
    'edges, judged healthy; there are no accuracies yet; trained, the cell '
    'reaches 80.0 % on cifar10' in page.text
  )
  assert 'cifar10 80.0 %, 10.00 points below the best cell' in page.text
  assert 'after each epoch: healthy 0–2 , collapsed 3 .' in page.text
  # What it gave stands after the last epoch, whose own cell is there too.
  frames = [a for t, a in page.elements if 'data-first' in a]
  spans = [(a['data-first'], a['data-last'], a['data-change']) for a in frames]
  assert spans == [('0', '0', 'the first'), ('1', '2', '1 new edge'),
                   ('3', '3', '5 new edges'),
                   ('4', '4', '5 new edges')]  # fmt: skip
  assert page.attributes('input', 'data-end') == ['the search']
  assert 'The cells after the search;' in page.text
  # By the weights of its epoch, the last that has this cell.
  run = run_files.read_run(tmp_path)
  first = search_parts.chosen(run, styles.Styles({}))['cell'][0]
  weights = np.exp([0.2, 0.2, 0.1, -1.0])
  assert first.weight == pytest.approx(weights[2] / weights.sum())
  (row,) = map(compare_parts.row, compared.compared([run])[0])
  assert (row.level, row.skips) == ('healthy', pytest.approx(1 / 6))


def test_a_search_that_gives_what_no_epoch_had(tmp_path):
  write_early_stop(tmp_path, [0, 1], gave=6)
  page = page_of(tmp_path)
  assert '6 skip connections on its 6 edges, judged collapsed' in page.text
  assert 'Collapsed: in what the search gave, all 6 edges' in page.text
  assert 'Judged after each epoch: ' in page.text


def test_a_search_without_epochs(tmp_path):
  write_early_stop(tmp_path, [], gave=2)
  page = page_of(tmp_path)
  assert ': search Search ✓ finished' in page.text
  assert (
    'The search found a cell with 2 skip connections on its 6 edges; trained, '
    'the cell reaches 70.0 % on cifar10, by the table' in page.text
  )
  assert page.sections == ['cells', 'truth']
  (row,) = map(
    compare_parts.row, compared.compared([run_files.read_run(tmp_path)])[0]
  )
  assert (row.level, row.skips) == ('unknown', pytest.approx(1 / 3))


def test_what_is_said_first_is_of_a_cell_that_the_supernet_has(search_dir):
  space = {'name': 'darts', 'cells': {'normal': 0, 'reduce': 2}}
  (search_dir / 'space.json').write_text(json.dumps(space))
  page = page_of(search_dir)
  assert 'found a reduction cell with no skip' in page.text
  assert '0% of the edges of the reduce cell are skip' in page.text
  read = run_files.read_run(search_dir)
  (one, _), _ = compared.compared([read, read])
  assert (one.kind, one.ended['skip_share']) == ('reduce', 0)


def test_numbers_of_a_method_without_alphas(search_dir):
  """As one that draws its cells has; it may have taken no times, either."""
  lines = [
    {**line, 'radius': 0.5} if line['kind'] == 'epoch' else line
    for line in search_records()
  ]
  write_lines(search_dir / 'metrics.jsonl', lines)
  (search_dir / 'alphas.jsonl').unlink()
  (search_dir / 'times.jsonl').unlink()
  network = {'layers': 3, 'channels': 4, 'weights': 5, 'multiply_adds': 6}
  results = {'network': network}
  (search_dir / 'results.json').write_text(json.dumps(results))
  page = page_of(search_dir)
  assert 'What the method has' in page.text
  assert 'Radius' in page.text
  assert {'alphas', 'cost'} < {*page.sections}
  assert {*page.attributes('a', 'href')} == {f'#{s}' for s in page.sections}


def test_page_of_one_kind_of_cell(search_dir):
  (search_dir / 'genotype.json').write_text(BENCH.to_json())
  records = [{**r, 'genotype': BENCH.to_dict()} for r in search_records()]
  for epoch, record in enumerate(r for r in records if r['kind'] == 'epoch'):
    record |= {
      'truth_test_cifar10': 0.91 + 0.01 * epoch,
      'truth_regret_cifar10': 0.02,
      'truth_rank': 1234 - epoch,
    }
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
    'graph': {
      'inputs': 1,
      'edges': [[0, 1], [0, 2], [1, 2], [0, 3], [1, 3], [2, 3]],
    },
  }
  (search_dir / 'space.json').write_text(json.dumps(space))
  page = page_of(search_dir)
  assert 'truth' in page.sections
  for text in ('my space', 'blur', 'c[k−1] → 0', '92.0 %', '1,233',
               '2.00 points below the best cell', 'reaches 92.0 % on cifar10',
               'Edge weights, cell, node 2', 'c[k−1] 0.333'):  # fmt: skip
    assert text in page.text, text
  assert page.source.count('200.0 112.0') == 6


def test_what_edges_chose(search_dir):
  edges = [[s, n] for n in range(2, 6) for s in range(n)]
  space = {'operations': [], 'graph': {'inputs': 2, 'edges': edges}}
  (search_dir / 'space.json').write_text(json.dumps(space))
  found = run_files.read_run(search_dir)
  chosen = search_parts.chosen(found, styles.Styles({}))['normal']
  by_edge = {c.edge: c for c in chosen}
  assert len(by_edge) == 14
  # exp(0.2) against exp(0.1); none cannot be in the cell.
  first = by_edge['c[k−2] → 0']
  weight = np.exp(0.2) / (np.exp(0.2) + np.exp(0.1))
  assert first.style.name == 'sep_conv_3x3'
  assert first.weight == pytest.approx(weight)
  assert first.other.name == 'skip_connect'
  assert first.lost == pytest.approx(2 * weight - 1)
  # An edge that is left out lost to the weakest that its node keeps.
  out = by_edge['0 → 1']
  assert out.style is None
  assert out.other.name == 'sep_conv_3x3'
  assert out.lost == pytest.approx(0.0)


def test_an_edge_that_has_two_operations(search_dir):
  fields = {'operations': [], 'graph': dataclasses.asdict(CellGraph())}
  (search_dir / 'space.json').write_text(json.dumps(fields))
  twice = {**GENOTYPE, 'normal': [('skip_connect', 0), *GENOTYPE['normal']]}
  twice['normal'].pop(2)
  (search_dir / 'genotype.json').write_text(json.dumps(twice))
  found = run_files.read_run(search_dir)
  chosen = search_parts.chosen(found, styles.Styles({}))['normal']
  assert len(chosen) == 15
  first, second, third = chosen[:3]
  assert [c.style.name for c in chosen[:2]] == ['skip_connect', 'sep_conv_3x3']
  assert first.edge == second.edge
  assert first.weight < second.weight
  # Neither is an alternative of the other, and there is no third.
  assert (first.other, first.lost, second.other) == (None, None, None)
  # What is left out lost to the weaker of the two.
  assert third.style is None
  assert third.lost == pytest.approx(first.weight - second.weight)
  text = page_of(search_dir).text
  assert 'c[k−2] → 0: skip_connect + sep_conv_3x3' in text


def test_shares_and_entropies_of_runs_that_did_not_write_them(search_dir):
  found = monitor_parts.measured(run_files.read_run(search_dir))
  first, last = [r for r in found if r['kind'] == 'epoch']
  assert first['skip_share_normal'] == last['skip_share_normal'] == 0.25
  assert first['entropy_normal'] is None  # A single operation.
  shares = np.exp([0.1, 0.2]) / np.exp([0.1, 0.2]).sum()
  expected = -(shares * np.log(shares)).sum() / np.log(2)
  assert last['entropy_normal'] == pytest.approx(expected)
  # What a run wrote is not computed again.
  records = [{**r, 'entropy_normal': 0.5} for r in search_records()]
  write_lines(search_dir / 'metrics.jsonl', records)
  found = monitor_parts.measured(run_files.read_run(search_dir))
  assert found[-1]['entropy_normal'] == 0.5


def test_the_monitor_says_of_the_eigenvalue_what_is_known(search_dir):
  page = page_of(search_dir)
  assert 'Entropy is 1 where' in page.text
  assert '--config.monitor.eigenvalue_epochs=1' in page.text
  records = [
    {**r, 'eigenvalue': 0.25, 'derived_accuracy': 0.3} for r in search_records()
  ]
  write_lines(search_dir / 'metrics.jsonl', records)
  page = page_of(search_dir)
  assert 's1 (rank correlation 0.76) and does not in s3 (−0.04)' in page.text
  assert 'supernet 35.0 %' in page.text
  assert 'derived 30.0 %' in page.text


def test_the_state_of_a_run(search_dir):
  def said(**session):
    session = {'started': 100.0, 'command': 'opp-darts search', **session}
    path = search_dir / 'run.json'
    path.write_text(json.dumps({'sessions': [session]}))
    return run_files.read_run(search_dir)

  assert run_files.read_run(search_dir).state == ''
  assert said(pid=2**22 + 1, host='elsewhere').state == 'running'
  here = socket.gethostname()
  assert said(pid=os.getpid(), host=here).state == 'running'
  assert said(pid=2**22 + 1, host=here).state == 'interrupted'
  found = said(ended=400.0, by='interrupted', device='a device',
               versions={'jax': '0.0'})  # fmt: skip
  assert found.state == 'interrupted'
  assert found.seconds == 300.0
  page = page_of(search_dir)
  for text in ('interrupted', 'opp-darts search', '5 min 0 s', 'a device',
               'jax 0.0', 'goes on where it stopped'):  # fmt: skip
    assert text in page.text
  (search_dir / 'results.json').write_text('{"ended_by": "all epochs"}')
  assert run_files.read_run(search_dir).state == 'finished'


def test_kinds_of_cells_are_any_text(search_dir):
  cell = BENCH.to_dict()['cells']['cell']
  cells = {'curves': cell, '../<up>': cell}
  (search_dir / 'genotype.json').write_text(json.dumps({'cells': cells}))
  page = page_of(search_dir)
  assert 'Cell ../<up>' in page.text
  written = report.write_pictures(search_dir)
  assert {path.parent for path in written} == {search_dir / 'pictures'}
  assert {'curves.svg', 'up.svg'} <= {path.name for path in written}


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


def test_pictures_are_files_of_their_own(search_dir):
  written = report.write_pictures(search_dir)
  names = {path.stem for path in written}
  assert {'normal', 'reduce', 'loss', 'accuracy', 'alphas'} <= names
  sheet = (search_dir / 'pictures' / 'alphas.svg').read_text()
  assert sheet.count('viewBox="0 0 200.0 112.0"') == 28
  for path in written:
    root = ElementTree.parse(path).getroot()
    assert root.tag == '{http://www.w3.org/2000/svg}svg'
  before = [path.read_bytes() for path in written]
  report.write_pictures(search_dir)
  assert before == [path.read_bytes() for path in written]


def test_a_figure_is_drawn_when_it_is_asked_for(search_dir, monkeypatch):
  drawn = []

  def render(template, **values):
    drawn.append(values['title'])
    return f'<svg>{values["title"]}</svg>'

  monkeypatch.setattr(report.page, 'render', render)
  assert {'normal', 'loss'} <= set(figures.names(search_dir))
  assert drawn == []
  assert figures.draw(search_dir, 'loss').svg == '<svg>loss</svg>'
  assert drawn == ['loss']
  assert figures.cells(search_dir, ['normal']).startswith('<figure')
  assert drawn == ['loss', 'normal']


def test_page_of_a_training(training_dir):
  results = json.loads((training_dir / 'results.json').read_text())
  results['mistakes'] = [
    {'image': 3, 'class': 'cat', 'predicted': 'dog', 'probability': 0.875,
     'class_probability': 0.0625}
  ]  # fmt: skip
  results['network'] = {'layers': 5, 'channels': 8, 'weights': 1234,
                        'multiply_adds': 5_600_000}  # fmt: skip
  results['tested_on'] = 'training images held out'
  (training_dir / 'results.json').write_text(json.dumps(results))
  images = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
  np.savez(training_dir / 'mistakes.npz', images=images)
  page = page_of(training_dir)
  assert page.sections == ['cells', 'curves', 'test', 'cost']
  assert (
    'classifies 97.2 % of 21 training images held out correctly; it has '
    '3,349,342' in page.text
  )
  for text in ('1,234', '5.60 M an image', '87.5 %', 'no images', '75.0 %'):
    assert text in page.text, text
  assert 'cat 3 1 dog 17 emu Accuracy by class' in page.text
  (alt,) = page.attributes('img', 'alt')
  assert alt == 'An image of class cat, taken for dog'
  (source,) = page.attributes('img', 'src')
  shot = Image.open(io.BytesIO(base64.b64decode(source.partition(',')[2])))
  np.testing.assert_array_equal(np.asarray(shot), images[0])


def test_many_classes_are_a_list(training_dir):
  names = [f'class{n}' for n in range(40)]
  counts = np.diag(np.full(40, 9)).tolist()
  counts[3][5], counts[7][1] = 4, 6
  results = {
    'class_accuracy': dict.fromkeys(names, 0.5),
    'confusion': counts,
    'test_accuracy': 0.5,
  }
  (training_dir / 'results.json').write_text(json.dumps(results))
  page = page_of(training_dir)
  assert 'matrix' not in [a.get('class') for _, a in page.elements]
  assert 'class7 taken for class1 6 class3 taken for class5 4' in page.text


def test_page_of_several_seeds(tmp_path):
  results = {
    'seeds': [0, 4],
    'test_accuracy': 0.91,
    'test_accuracy_std': 0.0123456,
    'test_accuracy_by_seed': {'0': 0.9, '4': 0.92},
    'epochs': 7,
  }
  (tmp_path / 'results.json').write_text(json.dumps(results))
  (tmp_path / 'genotype.json').write_text(json.dumps(GENOTYPE))
  (tmp_path / 'config.json').write_text(json.dumps({'epochs': 7}))
  page = page_of(tmp_path)
  assert 'the mean of 2 seeds (90.0 %, 92.0 %; standard deviation 1.23' in (
    page.text
  )
  assert ' epochs 7 of 7 seed 0, 4 ' in page.text
  assert page.sections == ['cells', 'test']
  # Those of earlier releases do not tell.
  del results['epochs']
  (tmp_path / 'results.json').write_text(json.dumps(results))
  assert '0 of 7' not in page_of(tmp_path).text


def test_run_in_progress(search_dir):
  """The cells are those of the last epoch; a line half written is ignored."""
  (search_dir / 'genotype.json').unlink()
  with (search_dir / 'metrics.jsonl').open('a') as file:
    file.write('{"kind": "train", "epo')
  assert page_of(search_dir).sections[:2] == ['cells', 'stages']


@pytest.mark.parametrize('count', [0, 1, 2])
def test_run_that_has_just_begun(tmp_path, count):
  first = list(search_records())[:count]
  write_lines(tmp_path / 'metrics.jsonl', first)
  page = page_of(tmp_path)
  assert 'No epoch has ended yet.' in page.text
  assert 'cells' not in page.sections


def test_lines_that_a_resumed_run_repeats_count_once(search_dir):
  metrics = search_dir / 'metrics.jsonl'
  metrics.write_text(metrics.read_text() * 2)
  assert '2 of 2' in page_of(search_dir).text


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
SHOWN = ['caf\ufffd', 'a$_$b$^$', 'two\ufffdlines', '<&>', '\ufffd', '猫']


def test_odd_names_of_classes_and_operations(training_dir):
  results = {
    'class_accuracy': dict.fromkeys(ODD, 0.5),
    'confusion': [[1] * len(ODD)] * len(ODD),
    'test_accuracy': 0.5,
  }
  (training_dir / 'results.json').write_text(json.dumps(results))
  cells = BENCH.to_dict()
  for edge, name in zip(cells['cells']['cell']['edges'], ODD):
    edge[0] = name
  (training_dir / 'genotype.json').write_text(json.dumps(cells))
  page = page_of(training_dir)
  # In the matrix twice, by class, and on the cell's edge.
  assert [page.texts.count(name) for name in SHOWN] == [4] * len(SHOWN)
  assert len(report.write_pictures(training_dir)) > 1


def test_a_folder_whose_name_is_no_text(tmp_path):
  folder = tmp_path / 'caf\udce9'
  folder.mkdir()
  write_training(folder)
  done = launch('report', f'--workdir={folder}')
  assert done.returncode == 0, done.stderr
  assert 'caf\udce9/report.html' in done.stdout
  assert 'caf\ufffd' in (folder / 'report.html').read_text()


def test_numbers_that_are_none(search_dir):
  records = [
    {**r, 'train_loss': None, 'val_loss': float('nan'), 'eval_accuracy': None}
    for r in search_records()
  ]
  write_lines(search_dir / 'metrics.jsonl', records)
  page = page_of(search_dir)
  assert 'the training accuracy is 40.0 %' in page.text
  assert 'NaN' not in page.source.partition('<script>')[0]
  assert 'nan' not in page.text


def test_lines_that_are_no_text(search_dir):
  metrics = search_dir / 'metrics.jsonl'
  metrics.write_bytes(b'\xff\xfe{}\n' + metrics.read_bytes())
  assert 'curves' in page_of(search_dir).sections


def test_a_search_and_a_training_in_one_folder(search_dir):
  lines = (search_dir / 'metrics.jsonl').read_text()
  write_training(search_dir)
  with (search_dir / 'metrics.jsonl').open('a') as file:
    file.write(lines)
  assert {'curves', 'cells', 'test'} <= set(page_of(search_dir).sections)


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
    ('times.jsonl', '{"seconds": "1"}\n', 'not fit together: '),
  ],
)
def test_files_of_something_else(search_dir, name, content, sentence):
  (search_dir / name).write_text(content)
  with pytest.raises(errors.UserError, match=sentence):
    report.write_report(search_dir)


def test_without_a_config(search_dir):
  (search_dir / 'config.json').unlink()
  assert '2 of ?' in page_of(search_dir).text


def test_launcher_prints_the_files(training_dir):
  launcher = str(ROOT / 'experiments' / 'report.py')
  done = run(
    [sys.executable, launcher, f'--workdir={training_dir}', '--pictures']
  )
  assert done.returncode == 0, done.stderr
  first, *pictures = done.stdout.split()
  assert first == str(training_dir / 'report.html')
  assert str(training_dir / 'pictures' / 'normal.svg') in pictures


def test_launcher_says_what_is_wrong(tmp_path):
  done = launch('report', f'--workdir={tmp_path / "nowhere"}')
  assert done.returncode == 2
  assert done.stdout == ''
  assert done.stderr.startswith('error: Expected the folder of a run')
  assert 'Traceback' not in done.stderr
  done = launch('report')
  assert done.returncode == 2
  assert 'Give either --workdir' in done.stderr
