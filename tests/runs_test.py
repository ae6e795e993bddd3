"""Runs as one looks at them from Python: arrays, frames and pictures."""

import ast
import base64
import dataclasses
import json
import pathlib
import re
import shutil
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from launched import ROOT

import opp_darts_jax as odj
from opp_darts_jax.errors import UserError

WHOLE = pathlib.Path(__file__).parent / 'golden' / 'first_house' / 'whole'


@pytest.fixture
def run():
  return odj.load_run(WHOLE)


def test_history_and_alphas_are_arrays(run):
  history = run.history
  np.testing.assert_array_equal(history['epoch'], range(6))
  assert history['epoch'].dtype.kind == 'i'
  assert history['eval_loss'][-1] == pytest.approx(2.3097, abs=1e-4)
  assert 'genotype' not in history
  tables = run.tables
  assert set(tables) == {'normal', 'reduce'}
  # Six epochs, five edges of two nodes, three operations of s3.
  assert tables['normal'].shape == (6, 5, 3)
  # An operation enters at every second epoch.
  known = np.isfinite(tables['normal']).all(1).sum(1)
  np.testing.assert_array_equal(known, [1, 1, 2, 2, 3, 3])


@pytest.fixture
def longer(tmp_path):
  """The run with one epoch more, which has next to nothing."""
  workdir = pathlib.Path(shutil.copytree(WHOLE, tmp_path / 'run'))
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  (workdir / 'metrics.jsonl').write_text(
    '\n'.join([*lines, '{"kind": "epoch", "epoch": 6, "step": 21, "own": 2.5}'])
    + '\n'
  )
  return odj.load_run(workdir)


def test_what_an_epoch_lacks_is_nan(longer):
  history = longer.history
  assert np.isnan(history['eval_loss'][6])
  np.testing.assert_array_equal(np.isnan(history['own']), [1] * 6 + [0])


def test_a_frame(longer):
  pandas = pytest.importorskip('pandas', reason='pandas is not installed')
  frame = longer.frame()
  assert isinstance(frame, pandas.DataFrame)
  assert (frame.index.name, frame.index.tolist()) == ('epoch', list(range(7)))
  assert {*frame.columns, 'epoch'} == set(longer.history)
  for name in frame:
    np.testing.assert_array_equal(frame[name], longer.history[name])
  assert frame['own'].dropna().to_dict() == {6: 2.5}
  assert frame['step'].dtype.kind == 'i'


def test_without_pandas_there_is_no_frame(run, monkeypatch):
  monkeypatch.setitem(sys.modules, 'pandas', None)
  with pytest.raises(UserError, match='frame.. takes pandas, which is not'):
    run.frame()


def svgs(text):
  """The pictures in a piece of HTML, parsed."""
  found = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', text)
  return [ElementTree.fromstring(base64.b64decode(each)) for each in found]


def test_a_notebook_shows_the_cells_of_a_run(run):
  assert len(svgs(run._repr_html_())) == 2


def test_figures(run, tmp_path):
  assert {'normal', 'reduce'} <= set(run.figures)
  figure = run.figure('alphas')
  (drawn,) = svgs(figure._repr_html_())
  titles = [text for text in drawn.itertext() if text.startswith('edge ')]
  assert len(titles) == 2 * 5  # Of two nodes, in both kinds of cells.
  figure.save(tmp_path / 'alphas.svg')
  assert (tmp_path / 'alphas.svg').read_text() == figure.svg
  with pytest.raises(UserError, match="nothing'; valid are: .*normal"):
    run.figure('nothing')


def test_its_judgement(run):
  skips = run.genotype.num_skips('normal')
  assert (run.judgement.level == 'collapsed') == (skips >= 1)


def test_its_judgement_knows_the_operations_of_its_space(run, tmp_path):
  text = re.sub('skip_connect|sep_conv_3x3|none', 'own', run.genotype.to_json())
  line = {'kind': 'epoch', 'epoch': 0, 'genotype': json.loads(text)}
  own = dataclasses.replace(run, workdir=tmp_path, epochs=(line,), results={})
  assert own.judgement.rule == 'no parameters'  # As by its name alone.
  operations = [{'name': 'own', 'drawn': 'own', 'parametric': True}]
  space = {'name': 'mine', 'operations': operations}
  (tmp_path / 'space.json').write_text(json.dumps(space))
  assert own.judgement.level == 'healthy'


def test_the_notebook_runs(tmp_path, monkeypatch, capsys, toys):
  """All its cells, in order, in this process: no kernel is needed for that."""
  monkeypatch.chdir(tmp_path)
  text = (ROOT / 'docs' / 'notebook.ipynb').read_text()
  cells = [c for c in json.loads(text)['cells'] if c['cell_type'] == 'code']
  names, shown = {}, []
  for cell in cells:
    tree = ast.parse(''.join(cell['source']))
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, 'cell', 'exec'), names)
    if last is not None:
      shown.append(eval(compile(ast.Expression(last.value), '', 'eval'), names))
  pictures = [one for one in shown if hasattr(one, '_repr_html_')]
  assert len(pictures) == 2
  assert all(svgs(one._repr_html_()) for one in pictures)
  run = names['run']
  assert isinstance(run, odj.SearchRun)
  assert len(run.history['epoch']) == run.config.epochs
  assert 'skip' in str(shown)
