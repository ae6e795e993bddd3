"""Published results: figures that papers give, and how they are found."""

import importlib

import pytest

from opp_darts_jax.benchmarks import nasbench201
from opp_darts_jax.benchmarks.published import RESULTS, find
from opp_darts_jax.spaces.catalogue import SPACES


def test_figures_of_the_papers():
  (found,) = find('progressive+darts', 's4', 'cifar10')
  assert found.accuracy == pytest.approx(1 - 0.0321)
  assert 'OPP-DARTS' in found.source
  assert find('progressive+darts', 's1', 'cifar10') == []
  quoted = {r.source: r.accuracy for r in find('darts', 's2', 'cifar10')}
  assert quoted['Zhu et al., OPP-DARTS, ICDM 2021'] == pytest.approx(0.9406)
  (minus,) = find('darts_minus', 'nasbench201', 'cifar100')
  assert (minus.accuracy, minus.spread) == (0.7153, 0.0151)


def test_names_are_found_however_they_are_written():
  assert find('PC-DARTS', 'darts', 'cifar10')
  assert find('pcdarts', 'darts', 'cifar10')
  # Another setting of a method is another method.
  assert find('pc_darts(partial=2)', 'darts', 'cifar10') == []


@pytest.mark.parametrize(
  'name',
  ['beta_darts', 'darts_cifar10', 'darts_minus', 'darts_pt', 'darts_s3',
   'drnas', 'fair_darts', 'gdas', 'lambda_darts', 'oles', 'p_darts',
   'pc_darts_cifar10', 'sdarts_adv', 'sdarts_rs', 'snas'],
)  # fmt: skip
def test_figures_stand_beside_the_configs_of_their_papers(name):
  module = f'opp_darts_jax.launchers.configs.{name}'
  config = importlib.import_module(module).get_config('search')
  assert find(config.method, config.space, 'cifar10')


def test_every_result_says_where_it_is_from():
  assert len(RESULTS) > 60
  assert len(set(RESULTS)) == len(RESULTS)
  for result in RESULTS:
    assert 0.1 < result.accuracy < 0.99
    assert result.space in SPACES
    assert result.data in nasbench201.DATA
    assert result.source
    assert result.what


@pytest.mark.parametrize('data', nasbench201.DATA)
def test_no_search_found_more_than_there_is(data):
  best = nasbench201.optimum(data).test[data]
  found = [r for r in RESULTS if (r.space, r.data) == ('nasbench201', data)]
  assert found
  assert all(result.accuracy <= best for result in found)
  darts = find('darts', 'nasbench201', data)[0].accuracy
  # Where DARTS ends is the cell of skip connections.
  assert darts == nasbench201.query(1835).test[data]
