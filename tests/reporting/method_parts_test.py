"""Tests of what a page shows of alphas, edge weights and temperatures."""

import json

import numpy as np
import pytest
from run_files import OPERATIONS, search_records, write_lines, write_search

from opp_darts_jax.reporting import (
  alpha_parts,
  axes,
  edge_shares,
  method_parts,
  run_files,
  styles,
)

# Two nodes of the usual cell: two edges into the first, three into the second.
GRAPH = {'inputs': 2, 'edges': [[0, 2], [1, 2], [0, 3], [1, 3], [2, 3]]}


@pytest.fixture
def folder(tmp_path):
  write_search(tmp_path)
  space = {'operations': [], 'graph': GRAPH}
  (tmp_path / 'space.json').write_text(json.dumps(space))
  return tmp_path


def write_alphas(folder, *tables, **beside):
  lines = [
    {
      'epoch': epoch,
      'step': 10 * (epoch + 1),
      'operations': OPERATIONS,
      'normal': table,
      **beside,
    }
    for epoch, table in enumerate(tables)
  ]
  write_lines(folder / 'alphas.jsonl', lines)
  run = run_files.read_run(folder)
  return run, axes.time_axis(run.records)


def test_weights_of_growing_supernets_are_multiples_of_an_equal_share(folder):
  one, three = [None, None, None, 0.3], [None, 0.0, 0.0, np.log(2.0)]
  run, axis = write_alphas(folder, [one] * 5, [three] * 5)
  found = alpha_parts.alphas(run, styles.Styles({}), axis)
  assert found.relative
  first = found.parts[0].charts[0]
  points = {line.series.name: line.series.points for line in first.lines}
  assert points['sep_conv_3x3'] == [(1.0, 1.0), (2.0, pytest.approx(1.5))]
  assert points['skip_connect'] == [(1.0, None), (2.0, pytest.approx(0.75))]
  # What the cell has there in the end.
  assert first.title == 'c[k−2] → 0: sep_conv_3x3'


def test_a_kind_of_cell_on_which_nothing_is_active_yet(folder):
  run, axis = write_alphas(folder, [[None] * 4] * 5)
  (part,) = alpha_parts.alphas(run, styles.Styles({}), axis).parts
  assert len(part.charts) == 5
  lines = part.charts[0].lines
  assert all(y is None for line in lines for _, y in line.series.points)


def test_weights_of_one_supernet_are_shown_as_they_are(folder):
  run, axis = write_alphas(folder, [[0.0] * 4] * 5, [[0.0] * 4] * 5)
  found = alpha_parts.alphas(run, styles.Styles({}), axis)
  assert not found.relative
  points = found.parts[0].charts[0].lines[0].series.points
  assert [y for _, y in points] == [0.25, 0.25]


def test_edges_share_their_node(folder):
  table = [[0.0] * 4] * 4 + [[None] * 4]
  edges = {'normal': [0.0, np.log(3.0), 0.0, np.log(4.0), 9.0]}
  run, axis = write_alphas(folder, table, table, edges=edges)
  shares = edge_shares.of_run(run)['normal'][-1]
  # The last edge has nothing on it yet.
  np.testing.assert_allclose(shares, [0.25, 0.75, 0.2, 0.8, np.nan])
  charts = method_parts.further(run, axis)
  assert [chart.title for chart in charts] == [
    'Edge weights, normal cell, node 0',
    'Edge weights, normal cell, node 1',
  ]
  labels = {label.text for label in charts[1].labels}
  assert labels == {'c[k−2] 0.200', 'c[k−1] 0.800'}


def test_numbers_of_a_method_are_charts(folder):
  records = [
    {**r, 'temperature': 10.0 - r['epoch'], 'cost': 3e6, 'cost_target': 2e6}
    for r in search_records()
  ]
  write_lines(folder / 'metrics.jsonl', records)
  run, axis = write_alphas(folder, [[0.0] * 4] * 5)
  heat, cost = method_parts.further(run, axis)
  assert heat.title == 'Temperature'
  assert heat.lines[0].series.points == [(1.0, 10.0), (2.0, 9.0)]
  assert [label.text for label in cost.labels] == [
    'derived 3,000,000',
    'target 2,000,000',
  ]
