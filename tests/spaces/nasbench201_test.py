"""Tests of the space of NAS-Bench-201, against the benchmark's figures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.genotype import Cell, Edge, Genotype
from opp_darts_jax.methods.tables import init_alphas
from opp_darts_jax.spaces.catalogue import SPACES
from opp_darts_jax.supernet.supernet import Supernet

SPACE = SPACES['nasbench201']
# The benchmark's best cell on CIFAR-10, its index 6111.
BEST = (
  '|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|'
  '+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|'
)


def test_operations_and_edges_are_in_the_benchmarks_order():
  assert SPACE.names == (
    'none',
    'skip_connect',
    'nor_conv_1x1',
    'nor_conv_3x3',
    'avg_pool_3x3',
  )
  assert SPACE.graph.edges == ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
  assert SPACE.graph.output == (3,)


def test_search_network_has_as_many_weights_as_published():
  model = Supernet(SPACE, layers=15, channels=16, classes=10)
  mask = SPACE.mask()
  images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  shapes = jax.eval_shape(
    lambda images: model.init(jax.random.key(0), images, mask, mask, True),
    images,
  )
  sizes = [leaf.size for leaf in jax.tree.leaves(shapes['params'])]
  assert sum(sizes) == 1_692_826
  alphas = jax.eval_shape(lambda: init_alphas(jax.random.key(0), SPACE))
  assert sum(leaf.size for leaf in jax.tree.leaves(alphas)) == 30


def test_plan_has_a_block_before_the_second_and_third_group():
  plan = SPACE.skeleton.plan(15, 16, False)
  blocks = [i for i, part in enumerate(plan) if not part.kind]
  assert blocks == [5, 11]
  assert [part.channels for part in plan] == [16] * 5 + [32] * 6 + [64] * 6
  assert not any(part.reduction for part in plan if part.kind)


def test_text():
  cell = SPACE.from_text(f' {BEST}\n')
  assert SPACE.to_text(cell) == BEST
  assert cell['cell'].edges[3] == Edge('skip_connect', 0, 3)
  assert [edge[1:] for edge in cell['cell'].edges] == list(SPACE.graph.edges)
  SPACE.check(cell)


@pytest.mark.parametrize(
  'text',
  [
    '|nor_conv_3x3~0|',
    BEST.replace('nor_conv_3x3~1', 'nor_conv_3x3~0'),
    BEST.replace('nor_conv_1x1', 'sep_conv_3x3'),
    BEST + '+|none~0|',
    BEST.replace('|skip_connect~0', ''),
    BEST.replace('|+|', '|junk+|', 1),
    BEST + 'junk',
    '|~|',
  ],
)
def test_text_of_another_cell_is_refused(text):
  with pytest.raises(UserError, match=r'Expected \|OP~0\|\+\|OP~0\|OP~1\|'):
    SPACE.from_text(text)


def test_what_does_not_fit_is_quoted():
  text = BEST.replace('nor_conv_3x3~1|+', 'sep_conv_3x3~1|+')
  sentence = (
    'operations of none, .*; reading stopped after 2 edges, at '
    r"'\|sep_conv_3x3~1\|\+\|skip"
  )
  with pytest.raises(UserError, match=sentence):
    SPACE.from_text(text)


def test_quotes_and_lines_are_passed_over():
  wrapped = BEST.replace('+', '+\r\n  ')
  assert SPACE.from_text(f"'{wrapped}'") == SPACE.from_text(BEST)


@pytest.mark.parametrize(
  'text', ['', 'DARTS', 'Genotype(normal=[])', '{"a":1}']
)
def test_what_looks_unlike_a_text_is_left_to_others(text):
  assert SPACE.from_text(text) is None


def test_text_takes_cells_of_the_benchmark_alone():
  other = SPACES['s2']
  genotype = other.derive(
    other, {kind: table.astype(float) for kind, table in other.mask().items()}
  )
  with pytest.raises(UserError, match='one kind of cell, got one with normal'):
    SPACE.to_text(genotype)
  edges = SPACE.from_text(BEST)['cell'].edges
  with pytest.raises(UserError, match='Expected a cell with the edges'):
    SPACE.to_text(Genotype((Cell('cell', 1, edges[1:], (3,)),)))


def test_none_may_be_the_strongest():
  weights = np.full((6, 5), 0.1)
  for edge, operation in enumerate((3, 0, 4, 0, 2, 1)):
    weights[edge, operation] = 0.5
  genotype = SPACE.derive(SPACE, {'cell': weights})
  assert SPACE.to_text(genotype) == (
    '|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|'
    '+|none~0|nor_conv_1x1~1|skip_connect~2|'
  )


def test_every_edge_has_one_operation_whatever_its_weight():
  # No rule of two edges a node: the weakest of three is in it, too.
  weights = np.full((6, 5), 1e-6)
  weights[:, 3] = [1, 1, 1, 1, 1, 2e-6]
  cell = SPACE.derive(SPACE, {'cell': weights})['cell']
  assert [edge.operation for edge in cell.edges] == ['nor_conv_3x3'] * 6


def test_convolutions_have_a_bias_where_norms_have_none():
  record = SPACE.operation('nor_conv_3x3')

  def leaves(operation):
    key = jax.random.key(0)
    return set(jax.eval_shape(lambda: operation.init(key, (2,), 4, 1)))

  assert leaves(record) == {'kernel', 'bias'}
  assert leaves(record.in_network) == {'kernel'}
  assert SPACE.operation('avg_pool_3x3').norms(1) == 0
