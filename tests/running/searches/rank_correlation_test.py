"""Whether a supernet ranks cells as they are ranked when trained."""

import dataclasses
import json
import types

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from opp_darts_jax.benchmarks import nasbench201
from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.operations.catalogue import named
from opp_darts_jax.running.searches import rank_correlation
from opp_darts_jax.spaces.nasbench201 import NASBENCH201
from opp_darts_jax.spaces.robust import S1, S3

STATE = types.SimpleNamespace(step=jnp.int32(7), mask=NASBENCH201.mask())


def judging(folder, accuracy, count=12, method=None):
  """A search whose supernet has these accuracies."""
  return types.SimpleNamespace(
    config=SearchConfig(truth_cells=count),
    space=NASBENCH201,
    method=method or darts(),
    accuracy=lambda state, tables, by_batch: (
      by_batch and accuracy(tables['cell'])
    ),
    run=types.SimpleNamespace(folder=folder, stop_if_asked=lambda step: None),
  )


def test_a_supernet_that_counts_large_convolutions(tmp_path):
  search = judging(tmp_path, lambda table: float(table[:, 3].sum()) / 6)
  found = rank_correlation.of_search(search, STATE)
  rows = json.loads((tmp_path / 'sampled_cells.json').read_text())
  assert len(rows) == 12
  ours = [row['text'].count('nor_conv_3x3') / 6 for row in rows]
  assert [row['supernet_accuracy'] for row in rows] == pytest.approx(ours)
  for data in nasbench201.DATA:
    theirs = [nasbench201.query(row['text']).test[data] for row in rows]
    want = stats.spearmanr(ours, theirs).statistic
    assert found[f'spearman_{data}'] == pytest.approx(want)
    want = stats.kendalltau(ours, theirs).statistic
    assert found[f'kendall_{data}'] == pytest.approx(want)
  assert set(found) == {
    f'{name}_{data}'
    for name in ('spearman', 'kendall')
    for data in nasbench201.DATA
  }


def test_a_supernet_to_which_all_cells_are_one_has_no_ranks(tmp_path):
  found = rank_correlation.of_search(judging(tmp_path, lambda t: 0.1), STATE)
  assert set(found.values()) == {None}


def test_a_supernet_that_has_lost_operations_has_no_ranks(tmp_path):
  mask = NASBENCH201.mask()['cell']
  mask[:, 0] = False  # Nothing is as well without `none`,
  mask[2, 3] = False  # but not without a convolution.
  state = types.SimpleNamespace(step=jnp.int32(7), mask={'cell': mask})
  seen = []

  def look(table):
    seen.append(table)
    return len(seen) / 100

  found = rank_correlation.of_search(judging(tmp_path, look), state)
  rows = json.loads((tmp_path / 'sampled_cells.json').read_text())
  lost = [row['supernet_accuracy'] is None for row in rows]
  cells = rank_correlation.sample(NASBENCH201, 12)
  sites = [(e.operation, e.source, e.node) for e in cells[0]['cell'].edges]
  edge = sites[2][1:]
  assert lost == [
    ('nor_conv_3x3', *edge) in cell['cell'].edges for cell in cells
  ]
  assert 0 < sum(lost) < 12
  assert len(seen) == 12 - sum(lost)
  assert not any(table[2, 3] for table in seen)
  assert any(table[:, 0].any() for table in seen)
  assert len(found) == 6
  assert set(found.values()) == {None}


def test_nothing_is_drawn_unless_asked_for(tmp_path):
  assert rank_correlation.of_search(judging(tmp_path, None, 0), STATE) == {}
  assert not list(tmp_path.iterdir())
  with pytest.raises(UserError, match=r"space 's3', which does not know what"):
    rank_correlation.check(S3, 10)
  rank_correlation.check(S3, 0)
  rank_correlation.check(NASBENCH201, 10)
  with pytest.raises(UserError, match='truth_cells must be 0, or 2 cells'):
    SearchConfig(truth_cells=1)


def test_operations_that_a_method_adds_have_no_part(tmp_path):
  shapes = []

  def look(table):
    shapes.append(table.shape)
    assert not table[:, 5:].any()
    return float(len(shapes))

  further = named('max_pool_3x3')
  method = darts()._replace(
    prepare=lambda space: dataclasses.replace(
      space, operations=(*space.operations, *further)
    )
  )
  rank_correlation.of_search(judging(tmp_path, look, 2, method), STATE)
  assert shapes == [(6, 6)] * 2


@pytest.mark.parametrize('space', [S1, NASBENCH201], ids=lambda s: s.name)
def test_cells_are_of_the_space_and_the_same_each_time(space):
  cells = rank_correlation.sample(space, 20)
  assert cells == rank_correlation.sample(space, 20)
  assert len(set(cells)) > 15
  mask = space.mask()
  for genotype in cells:
    tables = rank_correlation.one_hot(space, genotype)
    # Deriving from it gives the cell again.
    again = space.derive(space, {k: np.asarray(t) for k, t in tables.items()})
    for cell in genotype.cells:
      table = np.asarray(tables[cell.kind])
      assert not table[~mask[cell.kind]].any()
      assert table.sum() == len(cell.edges)
      assert sorted(again[cell.kind].edges) == sorted(cell.edges)
