"""Tests of the signs of collapse that a search measures."""

import dataclasses

import numpy as np
import pytest
import tiny_runs
import tiny_search
from genotype_cells import BENCH, TINY

from opp_darts_jax import files
from opp_darts_jax.config import MonitorConfig, ScheduleConfig
from opp_darts_jax.config.fields import as_json
from opp_darts_jax.errors import UserError
from opp_darts_jax.methods.catalogue import configured_method
from opp_darts_jax.running.searches import monitor
from opp_darts_jax.running.searches.rank_correlation import one_hot
from opp_darts_jax.running.searches.search import run_search
from opp_darts_jax.runs import load_run

SEARCH = dataclasses.replace(
  tiny_runs.SEARCH,
  monitor=MonitorConfig(derived=True, eigenvalue_epochs=2),
)


def test_share_of_skips():
  assert monitor.skip_share(TINY, 'normal') == 1 / 2
  assert monitor.skip_share(TINY, 'reduce') == 0
  assert monitor.skip_share(BENCH, 'cell') == 2 / 6


@pytest.mark.parametrize(
  ('weights', 'mask', 'want'),
  [
    ([[0.25] * 4], [[1, 1, 1, 1]], 1),
    ([[1, 0, 0, 0]], [[1, 1, 1, 1]], 0),
    ([[0.5, 0.5, 0, 0]], [[1, 1, 1, 1]], 0.5),
    # Shares are what counts, and no inactive operation.
    ([[3, 3, 0, 9]], [[1, 1, 0, 0]], 1),
    # Edges without a choice say nothing.
    ([[1, 0, 0, 0], [2, 2, 0, 0]], [[1, 0, 0, 0], [1, 1, 0, 0]], 1),
    ([[1, 0], [0.5, 0.5]], [[1, 1], [1, 1]], 0.5),
    ([[1, 0]], [[1, 0]], np.nan),
    ([[0, 0]], [[1, 1]], np.nan),
  ],
)
def test_entropy(weights, mask, want):
  found = monitor.entropy(np.array(weights), np.array(mask, bool))
  np.testing.assert_allclose(found, want)


def test_a_genotype_as_operation_weights_of_a_supernet():
  space = tiny_search.space_of('s', 'skip_connect', 'sep_conv_3x3', nodes=1)
  # Its pooling is nothing that this supernet has.
  tables = one_hot(space, TINY)
  np.testing.assert_array_equal(tables['normal'], [[0, 1], [1, 0]])
  np.testing.assert_array_equal(tables['reduce'], [[0, 1], [0, 0]])


@pytest.mark.usefixtures('toys')
def test_a_search_measures_what_its_config_says(tmp_path):
  run_search(SEARCH, tmp_path / 'a', quiet=True)
  lines = load_run(tmp_path / 'a').epochs
  for line in lines:
    assert 0 <= line['derived_accuracy'] <= 1
    skips = line['skip_normal'] / 2
    assert line['skip_share_normal'] == skips
  # With a single operation there is no choice; later alphas are nearly equal.
  assert lines[0]['entropy_normal'] is None
  assert all(0.9 < line['entropy_normal'] <= 1 for line in lines[1:])
  assert ['eigenvalue' in line for line in lines] == [False, True, False]
  assert np.isfinite(lines[1]['eigenvalue'])
  # What is measured changes nothing else.
  run_search(tiny_runs.SEARCH, tmp_path / 'b', quiet=True)
  own = {'derived_accuracy', 'eigenvalue'}
  assert [
    {k: v for k, v in line.items() if k not in own} for line in lines
  ] == list(load_run(tmp_path / 'b').epochs)


def test_an_unfit_monitor():
  with pytest.raises(
    UserError, match=r'monitor\.eigenvalue_epochs must be at least 0; got -1'
  ):
    MonitorConfig(eigenvalue_epochs=-1)


@pytest.mark.parametrize('schedule', ['plain', 'progressive'])
def test_no_eigenvalue_of_a_loss_that_is_not_smooth(schedule, tmp_path):
  config = dataclasses.replace(
    SEARCH, method='gdas', schedule=ScheduleConfig(schedule, stage_epochs=1)
  )
  with pytest.raises(UserError, match=r'smooth .*gdas.* samples .*, got 2\.'):
    run_search(config, tmp_path / 'new')
  assert not (tmp_path / 'new').exists()
  method = configured_method(config)
  monitor.check(MonitorConfig(derived=True), method)
  # Of a run of an earlier release, which measured it, is told.
  files.write_json(tmp_path / 'config.json', as_json(config))
  files.write_json(tmp_path / 'genotype.json', TINY.to_dict())
  found = {'eval_accuracy': 0.5, 'genotype': TINY.to_dict()}
  files.write_json(tmp_path / 'results.json', found)
  assert run_search(config, tmp_path, quiet=True) == TINY
