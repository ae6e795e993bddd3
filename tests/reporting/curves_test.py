"""Tests of the curves: the numbers drawn, and the panels there are."""

import math

import pytest
from genotype_cells import BENCH, TINY, UNEVEN

from opp_darts_jax.reporting import alpha_tables, curves


def alphas_of(**tables):
  return {'epoch': 0, 'step': 10, 'operations': ['a', 'b'], **tables}


def epoch_of(genotype, epoch=0, **values):
  fields = {'kind': 'epoch', 'epoch': epoch, 'step': 10 * (epoch + 1)}
  return {**fields, 'genotype': genotype.to_dict(), **values}


def panels_of(fig):
  return {ax.get_ylabel(): ax for ax in fig.axes if ax.get_ylabel()}


def test_mean_weight_is_over_the_active_operations_of_each_edge():
  weights = alpha_tables.operation_weights(
    [[None, 0.0, math.log(3.0)], [None, None, 5.0], [None, None, None]]
  )
  assert math.isnan(weights[0])
  assert weights[1:] == pytest.approx([0.25, (0.75 + 1.0) / 2])


def test_weights_of_large_alphas_do_not_overflow():
  weights = alpha_tables.operation_weights([[1000.0, 1000.0]])
  assert weights == pytest.approx([0.5, 0.5])


def test_kinds_of_cells_are_those_with_a_table():
  one, two = [[0.0, None]], [[0.1, 0.2], [0.3, 0.4]]
  lines = [
    alphas_of(cell=two),
    alphas_of(
      cell=two,
      reduce=one,
      edges={'cell': [0.5]},
      beta=[0.1, 0.2],
      wide=[[1.0]],
      none=[],
    ),
  ]
  assert alpha_tables.cell_kinds(lines) == ['cell', 'reduce']
  assert alpha_tables.cell_kinds([]) == []


def test_steps_per_epoch():
  records = [{'kind': 'epoch', 'epoch': 1, 'step': 20}]
  assert curves.steps_per_epoch(records) == 10
  assert curves.steps_per_epoch([{'kind': 'train', 'step': 3}]) is None


@pytest.mark.parametrize(
  ('kinds', 'genotype', 'expected'),
  [
    (
      ['normal', 'reduce'],
      TINY,
      {
        'mean weight, normal cell',
        'mean weight, reduce cell',
        'skip connections (of 2)',
      },
    ),
    (['cell'], BENCH, {'mean weight', 'skip connections (of 6)'}),
    (['a', 'b', 'c'], None, {f'mean weight, {kind} cell' for kind in 'abc'}),
    ([], UNEVEN, {'skip connections'}),
    ([], None, set()),
  ],
)
def test_panels_of_a_search(kinds, genotype, expected):
  table = [[0.0, 1.0]]
  alphas = [alphas_of(**dict.fromkeys(kinds, table))] if kinds else []
  fig = curves.plot_search([epoch_of(genotype)] if genotype else [], alphas)
  panels = panels_of(fig)
  assert set(panels) == {'loss', 'accuracy'} | expected
  legends = [ax.get_legend() for ax in fig.axes if not ax.axison] + fig.legends
  names = [t.get_text() for g in filter(None, legends) for t in g.get_texts()]
  assert names == (['a', 'b'] if kinds else [])
  fig.canvas.draw()


def test_mean_weights_are_drawn():
  first = alphas_of(cell=[[0.0, math.log(3.0)]], edges={'cell': [0.5]})
  second = {**alphas_of(cell=[[None, 0.0]]), 'step': 20}
  records = [{'kind': 'epoch', 'epoch': 0, 'step': 10}]
  fig = curves.plot_search(records, [first, second])
  a, b = panels_of(fig)['mean weight'].lines
  assert a.get_xdata().tolist() == [1.0, 2.0]
  assert a.get_ydata()[0] == pytest.approx(0.25)
  assert math.isnan(a.get_ydata()[1])
  assert b.get_ydata() == pytest.approx([0.75, 1.0])


def test_skips_are_counted():
  fig = curves.plot_search([epoch_of(BENCH), epoch_of(BENCH, 1)], [])
  (line,) = panels_of(fig)['skip connections (of 6)'].lines
  assert line.get_ydata().tolist() == [2, 2]
  fig = curves.plot_search([epoch_of(TINY)], [])
  normal, reduce = panels_of(fig)['skip connections (of 2)'].lines
  assert (normal.get_label(), reduce.get_label()) == ('normal', 'reduce')
  assert (normal.get_ydata(), reduce.get_ydata()) == ([1], [0])
