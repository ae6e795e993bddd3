"""Tests of the baselines: random cells, random search with weight sharing."""

import collections
import dataclasses

import jax
import numpy as np
import pytest
import tiny_search
import toy_network

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.methods.random_cells import random_cells
from opp_darts_jax.methods.random_sharing import random_sharing, sample
from opp_darts_jax.spaces.catalogue import SPACES

KEY = tiny_search.KEY
# The second node keeps two of three edges; there are two operations besides.
SPACE = tiny_search.space_of('s3', 'none', 'skip_connect', 'sep_conv_3x3')


def cells_of(space, count=600):
  """How often each cell is drawn, as {(operation, source), ...} by node."""
  method, seen = random_cells(), collections.Counter()
  init = jax.jit(lambda key: method.init(key, space))
  for key in jax.random.split(KEY, count):
    found = tiny_search.derived(method, space, init(key))
    edges = found.cells[0].edges
    seen[frozenset((e.operation, e.source, e.node) for e in edges)] += 1
  return seen


def test_cells_are_uniform_over_what_is_derived():
  seen = cells_of(SPACE)
  # 2^2 for the first node; for the second 3 pairs of edges of 2^2.
  assert len(seen) == 4 * 12
  expected = 600 / 48
  chi_squared = sum((n - expected) ** 2 / expected for n in seen.values())
  assert chi_squared < 82.7  # Its 0.1 % quantile, 47 degrees of freedom.


def test_edges_of_more_candidates_are_not_kept_more_often():
  listed = {'normal': (*[('sep_conv_3x3',)] * 4, SPACE.names[1:])}
  space = dataclasses.replace(SPACE, candidates=listed)
  kept = collections.Counter()
  for cell, times in cells_of(space).items():
    for _, source, node in cell:
      kept[source] += times * (node == 3)
  shares = np.array([kept[source] for source in range(3)]) / 600
  np.testing.assert_allclose(shares, 2 / 3, atol=0.07)


def test_nothing_is_trained():
  method = random_cells()
  _, state = toy_network.search_of(method)
  search = tiny_search.search_of(
    toy_network.SPACE, SearchConfig(), fresh=lambda key: state
  )
  change = method.begin_epoch(search, state, 0, [])
  assert change.stop
  assert change.stage.entered == toy_network.SPACE.names
  # Nor by a schedule that lets operations in one by one: all are drawn from.
  mask = toy_network.SPACE.mask(['skip_connect'])
  found = {
    tiny_search.derived(
      method,
      toy_network.SPACE,
      method.init(jax.random.key(seed), toy_network.SPACE),
      mask,
    ).operations
    for seed in range(8)
  }
  assert ('sep_conv_3x3',) in found


@pytest.mark.parametrize('name', ['darts', 'nasbench201'])
def test_a_pass_has_one_cell(name):
  space = SPACES[name]
  mask = tiny_search.mask_of(space)
  draw = jax.jit(jax.vmap(lambda key: sample(key, space, mask)))
  tables = draw(jax.random.split(KEY, 300))
  for table in map(np.asarray, tables.values()):
    assert set(np.unique(table)) == {0.0, 1.0}
    by_edge = table.sum(-1)
    if name == 'nasbench201':
      np.testing.assert_array_equal(by_edge, 1)
      shares = table.mean((0, 1))
      np.testing.assert_allclose(shares, 1 / 5, atol=0.04)
      continue
    for node in space.graph.intermediate:
      into = by_edge[:, np.array(space.graph.into(node))]
      np.testing.assert_array_equal(into.sum(1), 2)
    # Each of seven, and never none.
    shares = table.mean((0, 1)) * 14 / 8
    np.testing.assert_allclose(shares, [0, *[1 / 7] * 7], atol=0.02)


def test_the_best_of_many_is_found_at_the_end():
  method, space = random_sharing(samples=20), SPACES['nasbench201']
  _, state = toy_network.search_of(method, space=space)
  asked = []

  def accuracy(state, tables, by_batch):
    assert by_batch
    asked.append(tables)
    return float(tables['cell'][:, 3].sum())  # Convolutions of 3x3.

  search = tiny_search.search_of(
    space, SearchConfig(epochs=4), accuracy=accuracy, per_epoch=2
  )
  first = method.derive(method, search, state.replace(step=np.int32(7)))
  assert not asked
  found = method.derive(method, search, state.replace(step=np.int32(8)))
  assert len(asked) == 20
  most = max(float(tables['cell'][:, 3].sum()) for tables in asked)
  assert found.count('nor_conv_3x3') == most > first.count('nor_conv_3x3')


def test_unfit_samples():
  with pytest.raises(UserError, match=r'at least 1; got samples=0'):
    random_sharing(samples=0)
