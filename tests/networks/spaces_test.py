"""Networks of spaces of other forms than DARTS's: of any graph and skeleton."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from genotype_cells import BENCH, TINY

from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.darts_form import darts_genotype
from opp_darts_jax.genotypes.genotype import Cell, Edge, Genotype
from opp_darts_jax.genotypes.graph import CellGraph
from opp_darts_jax.networks import summary
from opp_darts_jax.networks.cell import NetworkCell
from opp_darts_jax.networks.network import Network
from opp_darts_jax.networks.stack import equal_parts
from opp_darts_jax.operations.operation import Operation, no_weights
from opp_darts_jax.spaces.darts import DARTS
from opp_darts_jax.spaces.nasbench201 import NASBENCH201
from opp_darts_jax.spaces.skeleton import Part, Skeleton

KEYS = {name: jax.random.key(0) for name in ('params', 'noise', 'drop_path')}
AVG = 'avg_pool_3x3'
SKIP = 'skip_connect'


def double(params, x, norm, stride, key):
  del params, norm, key
  return 2 * x[:, ::stride, ::stride]


DOUBLE = Operation('double', no_weights, double)
OWN = dataclasses.replace(DARTS, operations=(*DARTS.operations, DOUBLE))


def initial(model, x):
  """Kernels are drawn without a program; norms change nothing."""
  rng = np.random.default_rng(0)
  norms = {'mean': 0, 'bias': 0, 'var': 1, 'scale': 1}

  def fill(path, leaf):
    if path[-1].key in norms:
      return np.full(leaf.shape, norms[path[-1].key], leaf.dtype)
    return (rng.standard_normal(leaf.shape) / 2).astype(leaf.dtype)

  init = functools.partial(model.init, train=True)
  shapes = jax.eval_shape(init, KEYS, x)
  return jax.device_put(jax.tree_util.tree_map_with_path(fill, shapes))


def cell_output(edges, output, part, space=OWN, inputs=2):
  """Of a cell whose inputs are what its skeleton gives for two ones."""
  cell = NetworkCell(Cell(part.kind, inputs, edges, output), part, space)
  x = jnp.ones((1, 5, 4, part.channels))
  init = functools.partial(cell.init_with_output, train=False)
  return jax.jit(init)(jax.random.key(0), (x,) * inputs)[0]


@pytest.fixture
def bare():
  """A skeleton with nothing around the cells of three inputs."""
  return Skeleton(
    plan=lambda layers, channels, imagenet: tuple(
      Part(f'cell{i}', 'only', channels, reduction=i == 1)
      for i in range(layers)
    ),
    stem=lambda images, channels, imagenet, train: (images,) * 3,
    inputs=lambda outputs, part, affine, train: tuple(
      x[:, :: x.shape[1] // outputs[-1].shape[1]][
        :, :, :: x.shape[2] // outputs[-1].shape[2]
      ]
      for x in outputs
    ),
    block=lambda x, part, train: x,
    head=lambda x, classes, train: x.mean((1, 2)),
  )


def test_nodes_of_none_one_and_three_edges(bare):
  space = dataclasses.replace(
    OWN, graph=CellGraph(3, 4), kinds=('only',), skeleton=bare
  )
  edges = (
    Edge('double', 0, 3),
    *(Edge('double', 3, 5), Edge('double', 3, 5), Edge(SKIP, 1, 5)),
    Edge('double', 4, 6),
  )
  part = Part('cell0', 'only', 2)
  y = cell_output(edges, (3, 4, 5, 6), part, space, inputs=3)
  # 2; nothing; 2 x 2 + 2 x 2 + 1; twice nothing.
  np.testing.assert_array_equal(y[0, 0, 0], np.repeat([2, 0, 9, 0], 2))
  assert y.shape == (1, 5, 4, 8)


def test_one_output_is_the_node_itself(bare):
  space = dataclasses.replace(
    OWN, graph=CellGraph(1, 2), kinds=('only',), skeleton=bare
  )
  part = Part('cell0', 'only', 3, reduction=True)
  edges = (Edge('double', 0, 1), Edge('double', 1, 2), Edge('double', 0, 2))
  y = cell_output(edges, (2,), part, space, inputs=1)
  np.testing.assert_array_equal(y, np.full((1, 3, 2, 3), 6))
  y = cell_output((), (2,), part, space, inputs=1)
  np.testing.assert_array_equal(y, np.zeros((1, 3, 2, 3)))


def test_a_space_of_three_inputs_and_one_kind(bare):
  graph = CellGraph(inputs=3, nodes=1)
  space = dataclasses.replace(
    OWN, name='own', graph=graph, kinds=('only',), skeleton=bare
  )
  edges = tuple(Edge('double', i, 3) for i in range(3))
  model = Network(
    Genotype((Cell('only', 3, edges, (3,)),)), 4, 1, 1, space=space
  )
  x = jnp.ones((2, 8, 8, 1))
  variables = initial(model, x)
  # 1 1 1 -> 6; 1 1 6 -> 16; 1 6 16 -> 46; 6 16 46 -> 136.
  for stack in (True, False):
    apply = functools.partial(model.clone(stack=stack).apply, train=False)
    logits, auxiliary = jax.jit(apply)(variables, x)
    np.testing.assert_array_equal(logits, [[136], [136]])
    assert auxiliary is None


def test_bench_network():
  model = Network(BENCH, 3, 4, 7, space=NASBENCH201)
  variables = initial(model, jnp.zeros((1, 8, 8, 3)))
  params = variables['params']
  assert sorted(params) == [
    *('block0', 'block1', 'cell0', 'cell1', 'cell2'),
    *('classifier', 'last_norm', 'stem'),
  ]
  # Convolutions without biases, followed by norms with them.
  assert [
    name for name, edge in params['cell1'].items() if jax.tree.leaves(edge)
  ] == ['edge0', 'edge5']
  edge = params['cell1']['edge0']
  assert jax.tree.map(jnp.shape, edge) == {
    'weights': {'kernel': (3, 3, 8, 8)},
    'norm0': {'scale': (8,), 'bias': (8,)},
  }
  # By hand: what the benchmark says such a cell computes.
  x = jax.random.normal(jax.random.key(1), (2, 6, 6, 4))

  def conv(weights, x):
    y = jax.lax.conv_general_dilated(
      nn.relu(x),
      weights['weights']['kernel'],
      (1, 1),
      'SAME',
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
    return y / (1 + 1e-5) ** 0.5

  cell = NetworkCell(BENCH['cell'], model.plan[0], NASBENCH201)
  own = {name: variables[name]['cell0'] for name in variables}
  got = jax.jit(lambda x: cell.apply(own, (x,), False))(x)

  @jax.jit
  def by_hand(edges, x):
    one = conv(edges['edge0'], x)
    pooled = nn.avg_pool(one, (3, 3), padding='SAME', count_include_pad=False)
    return x + pooled + conv(edges['edge5'], x)

  want = by_hand(own['params'], x)
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('operation', ['nor_conv_1x1', SKIP])
def test_stack_changes_no_number(operation):
  edges = tuple(Edge(operation, *edge) for edge in ((0, 1), (0, 3), (1, 3)))
  genotype = Genotype((Cell('cell', 1, edges, (3,)),))
  model = Network(genotype, 6, 2, 3, space=NASBENCH201)
  x = jax.random.normal(jax.random.key(1), (3, 8, 8, 3))
  groups = equal_parts(model.plan, ((8, 8, 2),), {'cell': 1})
  assert [len(group) for group in groups] == [2, 1, 2, 1, 2]
  variables = initial(model, x)

  def run(model):
    return model.apply(
      variables,
      x,
      train=True,
      drop_path=0.3,
      mutable=['batch_stats'],
      rngs={'drop_path': jax.random.key(3)},
    )

  (got, _), changed = jax.jit(lambda: run(model))()
  (want, _), expected = jax.jit(lambda: run(model.clone(stack=False)))()
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
  assert jax.tree.structure(changed) == jax.tree.structure(expected)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    changed,
    expected,
  )


def test_kinds_of_different_numbers_of_edges():
  cells = Genotype(
    (
      Cell('normal', 2, (Edge('noise', 0, 2), Edge(SKIP, 1, 2)), (2,)),
      Cell('reduce', 2, tuple(Edge(AVG, i % 2, 2) for i in range(3)), (2,)),
    )
  )
  model = Network(cells, 4, 2, 3)
  draws = model.apply({}, 5, True, 0.5, method='_draws', rngs=KEYS)
  assert draws.factors.shape == (4, 3, 5)
  assert draws.key.shape == (4, 3)
  output = functools.partial(model.init_with_output, train=True, drop_path=0.5)
  shapes = jax.eval_shape(output, KEYS, jnp.zeros((5, 8, 8, 3)))
  assert shapes[0][0].shape == (5, 3)


def test_an_operation_of_one_s_own():
  cells = darts_genotype(
    [('double', 0), (SKIP, 1)], [2], [('double', 0), (AVG, 1)], [2]
  )
  with pytest.raises(UserError, match="operation of space 'darts' 'double'"):
    Network(cells, 3, 2, 3)
  model = Network(cells, 3, 2, 3, space=OWN)
  x = jnp.ones((2, 8, 8, 3))
  apply = jax.jit(functools.partial(model.apply, train=False))
  assert np.isfinite(apply(initial(model, x), x)[0]).all()


@pytest.mark.parametrize(
  ('genotype', 'options', 'sentence'),
  [
    (BENCH, {}, "of space 'darts', with the cells normal, reduce, got.*cell."),
    (TINY, {'space': NASBENCH201}, 'with the cells cell, got.*normal, reduce'),
    (
      BENCH,
      {'space': NASBENCH201, 'auxiliary': True},
      "Expected auxiliary=False: networks of space 'nasbench201' have no",
    ),
    (
      BENCH,
      {'space': NASBENCH201, 'imagenet': True},
      "Expected imagenet=False: networks of space 'nasbench201' have no form",
    ),
  ],
)
def test_what_does_not_fit_the_space(genotype, options, sentence):
  with pytest.raises(UserError, match=sentence):
    Network(genotype, 3, 2, 3, **options)


# Weights and million multiply-adds that the benchmark gives for 32 x 32 pixels.
@pytest.mark.parametrize(
  ('operations', 'weights', 'millions'),
  [
    (('none', SKIP, AVG) * 2, 73_306, 7.783),
    (('nor_conv_1x1',) * 6, 241_306, 31.376),
    (('nor_conv_3x3',) * 6, 1_531_546, 220.120),
  ],
)
def test_counts_of_nas_bench_201(operations, weights, millions):
  genotype = NASBENCH201.from_text(
    '|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|'.format(*operations)
  )
  model = Network(genotype, 15, 16, 10, space=NASBENCH201)
  parts = summary.describe(model, (32, 32, 3))
  found = summary.totals(parts)
  assert found.weights == weights
  assert round(found.multiply_adds / 1e6, 3) == millions
  assert [part.name for part in parts[5:8]] == ['cell4', 'block0', 'cell5']
  assert [part.kind for part in parts[5:8]] == ['cell', '', 'cell']
  assert [part.shape for part in parts[5:8]] == [
    (32, 32, 16),
    *[(16, 16, 32)] * 2,
  ]
