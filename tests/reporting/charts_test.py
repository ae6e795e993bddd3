"""Tests of charts and of the numbers that they show."""

import math
import re

import numpy as np
import pytest

from opp_darts_jax.reporting import alpha_tables, amounts, axes, charts
from opp_darts_jax.reporting.axes import Axis
from opp_darts_jax.reporting.charts import Series

AXIS = Axis(4.0, 'epoch', 10.0, (0.0, 2.0))


def alphas_of(**tables):
  return {'epoch': 0, 'step': 10, 'operations': ['a', 'b'], **tables}


def ends(d):
  """The points of a path of straight lines."""
  pairs = re.findall(r'[ML]([-\d.]+) ([-\d.]+)', d)
  return [tuple(map(float, pair)) for pair in pairs]


def test_weights_are_over_the_active_operations_of_each_edge():
  weights = alpha_tables.edge_weights(
    [[None, 0.0, math.log(3.0)], [None, None, 5.0], [None, None, None]]
  )
  expected = [[np.nan, 0.25, 0.75], [np.nan, np.nan, 1.0], [np.nan] * 3]
  np.testing.assert_allclose(weights, expected)
  # Large alphas do not overflow, and FairDARTS's do not compete.
  np.testing.assert_allclose(
    alpha_tables.edge_weights([[1e3, 1e3]]), [[0.5, 0.5]]
  )
  np.testing.assert_allclose(
    alpha_tables.edge_weights([[0.0, 1e3, None]], 'fair_darts(w=10)'),
    [[0.5, 1.0, np.nan]],
  )


def test_weights_that_a_run_wrote_are_no_softmax():
  table = [[0.0, 0.0, None]]
  line = alphas_of(cell=table, weights={'cell': [[0.5, 0.75, None]]})
  np.testing.assert_array_equal(
    alpha_tables.weights_of(line, 'cell'), [[0.5, 0.75, np.nan]]
  )
  assert alpha_tables.is_apart([line], 'early_stopping(rule="order")')
  # It is nothing else that the method has.
  assert alpha_tables.further([line]) == {}
  without = alphas_of(cell=table)
  np.testing.assert_array_equal(
    alpha_tables.weights_of(without, 'cell'), [[0.5, 0.5, np.nan]]
  )
  assert not alpha_tables.is_apart([without], 'darts')


def test_entropy_is_of_edges_that_have_a_choice():
  alike = np.full((2, 4), 0.25)
  assert alpha_tables.entropy(alike) == pytest.approx(1.0)
  one = np.array([[1.0, 0.0], [np.nan, 1.0]])
  assert alpha_tables.entropy(one) == pytest.approx(0.0)
  assert alpha_tables.entropy(np.array([[np.nan, 1.0]])) is None
  quarter = np.array([[0.25, 0.75], [0.5, 0.5]])
  own = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(2)
  assert alpha_tables.entropy(quarter) == pytest.approx((own + 1) / 2)


def test_kinds_of_cells_are_those_with_a_table():
  one, two = [[0.0, None]], [[0.1, 0.2], [0.3, 0.4]]
  lines = [
    alphas_of(cell=two),
    alphas_of(
      cell=two,
      reduce=one,
      edges={'cell': [0.5]},
      beta=0.1,
      wide=[[1.0]],
      none=[],
    ),
  ]
  assert alpha_tables.cell_kinds(lines) == ['cell', 'reduce']
  assert alpha_tables.cell_kinds([]) == []
  further = alpha_tables.further(lines)
  assert {name: at for name, [(at, _)] in further.items()} == {
    'edges cell': 1,
    'beta': 1,
  }
  assert further['beta'][0][1].tolist() == [0.1]


def test_the_time_axis():
  records = [
    {'kind': 'stage', 'epoch': 0, 'step': 0},
    {'kind': 'epoch', 'epoch': 1, 'step': 20},
    {'kind': 'stage', 'epoch': 2, 'step': 20},
    {'kind': 'train', 'epoch': 2, 'step': 25},
  ]
  axis = axes.time_axis(records)
  assert axis == Axis(2.5, 'epoch', 10.0, (0.0, 2.0))
  assert axis.of(records[-1]) == 2.5
  assert axes.time_axis([{'kind': 'train', 'step': 3}]).unit == 'step'


def test_lines_go_where_their_numbers_are():
  line = Series('a', 'c0', [(0.0, 1.0), (2.0, 3.0), (4.0, 2.0)])
  chart = charts.line_chart('t', [line], AXIS, bounds=(1.0, 3.0))
  left, top, right, bottom = chart.plot
  expected = [(left, bottom), ((left + right) / 2, top),
              (right, (top + bottom) / 2)]  # fmt: skip
  np.testing.assert_allclose(ends(chart.lines[0].d), expected, atol=0.06)
  np.testing.assert_allclose(chart.marks, [left, (left + right) / 2])
  assert chart.per_unit == pytest.approx((right - left) / 4)
  assert chart.labels[0].text == 'a 2.000'
  assert chart.said == 't: a goes from 1.000 to 2.000'


def test_gaps_points_alone_and_steps():
  gap = Series('', 'c0', [(0.0, 1.0), (1.0, None), (2.0, 2.0), (3.0, 2.5)])
  (drawn,) = charts.line_chart('t', [gap], AXIS).lines
  assert drawn.d.count('M') == 2
  assert len(drawn.dots) == 1
  steps = Series('', 'c0', [(0.0, 1.0), (1.0, 2.0)], step=True)
  (drawn,) = charts.line_chart('t', [steps], AXIS).lines
  assert re.fullmatch(r'M[\d. ]+H[\d.]+V[\d.]+', drawn.d)
  assert not charts.line_chart('t', [Series('', 'c0', [])], AXIS).lines


def test_labels_keep_apart_and_near_their_lines():
  lines = [Series(n, 'c0', [(4.0, y)]) for n, y in zip('abc', (1, 1.01, 2))]
  labels = charts.line_chart('t', lines, AXIS).labels
  ys = [label.y for label in labels]
  assert [label.text[0] for label in labels] == ['c', 'b', 'a']
  assert min(np.diff(ys)) >= 12.9
  assert max(abs(label.y - label.end) for label in labels) < 13


def test_the_best_rank_is_on_top():
  rank = Series('', 'c0', [(1.0, 1000.0), (2.0, 1.0)])
  chart = charts.line_chart('t', [rank], AXIS, log=True)
  (_, low), (_, high) = ends(chart.lines[0].d)
  assert high < low
  assert [text for _, text in chart.y_ticks] == ['1', '10', '100', '1,000']


def test_a_rank_that_has_no_logarithm_is_a_gap():
  points = [(1.0, 0.0), (2.0, 100.0), (3.0, 1.0), (4.0, -1.0)]
  band = [(1.0, 0.0, 2.0), (2.0, 50.0, 200.0), (3.0, 1.0, 2.0)]
  rank = Series('', 'c0', points, band=band)
  (drawn,) = charts.line_chart('t', [rank], AXIS, log=True).lines
  assert len(ends(drawn.d)) == 2
  assert drawn.series.points == [(1.0, None), *points[1:3], (4.0, None)]
  assert drawn.series.band == band[1:]
  none = rank._replace(points=points[:1])
  assert not charts.line_chart('t', [none], AXIS, log=True).lines


def test_a_line_of_many_points_is_thinned_and_keeps_its_end():
  points = [(x / 1000, float(x)) for x in range(4000)]
  (drawn,) = charts.line_chart('t', [Series('', 'c0', points)], AXIS).lines
  found = ends(drawn.d)
  assert 100 < len(found) <= 240
  assert drawn.series.points[-1] == points[-1]
  assert charts.thinned(points)[-1] == points[-1]


@pytest.mark.parametrize(
  ('low', 'high', 'expected'),
  [
    (0, 1, [0, 0.25, 0.5, 0.75, 1]),
    (0, 24, [0, 10, 20]),
    (-3, 3, [-2, 0, 2]),
    (0.101, 0.149, [0.12, 0.14]),
  ],
)
def test_ticks_are_round(low, high, expected):
  assert axes.nice_ticks(low, high, 4) == expected


@pytest.mark.parametrize(
  ('value', 'text'), [(0.966, '96.6 %'), (0.0, '0 %'), (1.0, '100 %')]
)
def test_percent(value, text):
  assert amounts.percent(value) == text
