"""Tests of state dicts in PyTorch's names: round trips, and what does not fit.

That the names are those of the PyTorch code is tested in golden_test.py.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes import published
from opp_darts_jax.genotypes.space import SPACES
from opp_darts_jax.networks.export import torch_weights
from opp_darts_jax.networks.network import Network
from opp_darts_jax.supernet.supernet import Supernet


def randomly(shapes):
  """Different numbers everywhere; the same of a pool wherever it is."""
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda s: jnp.asarray(rng.uniform(0.5, 2, s.shape), s.dtype), shapes
  )


def supernet(space='darts', nodes=2, images=3):
  space = SPACES[space]
  model = Supernet(space, nodes, layers=3, channels=2, classes=5)
  mask = space.mask(nodes)
  init = functools.partial(model.init, train=False)
  x = jax.ShapeDtypeStruct((1, 16, 16, images), jnp.float32)
  shapes = jax.eval_shape(init, jax.random.key(0), x, mask, mask)
  return model, randomly(shapes)


def network(name='DARTS_V2', auxiliary=True):
  cells = published.GENOTYPES[name]
  model = Network(cells, 3, channels=2, classes=5, auxiliary=auxiliary)
  init = functools.partial(model.init, train=False)
  x = jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)
  return model, randomly(jax.eval_shape(init, jax.random.key(0), x))


def assert_equal(found, expected):
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize(
  ('space', 'nodes', 'images'),
  [('darts', 2, 3), ('darts', 4, 1), ('s1', 4, 3), ('s4', 3, 3)],
)
def test_supernet_round_trip(space, nodes, images):
  model, variables = supernet(space, nodes, images)
  state_dict = torch_weights.supernet_to_torch(variables, model)
  back = torch_weights.supernet_from_torch(state_dict, model)
  assert_equal(back['params'], variables['params'])
  if space != 's1':  # Where some of a pool's sources have no edge with it.
    assert_equal(back['batch_stats'], variables['batch_stats'])
  again = torch_weights.supernet_to_torch(back, model)
  assert_equal(again, state_dict)


def test_supernet_with_a_part_of_the_operations():
  model, variables = supernet()
  order = 'sep_conv_5x5', 'none', 'max_pool_3x3'
  state_dict = torch_weights.supernet_to_torch(variables, model, order)
  assert 'cells.0._ops.4._ops.0.op.5.weight' in state_dict
  assert 'cells.0._ops.4._ops.2.1.running_var' in state_dict
  assert not [name for name in state_dict if '._ops.1.' in name[14:]]
  back = torch_weights.supernet_from_torch(state_dict, model, order)
  for collection, cells in back.items():
    for cell in ('cell0', 'cell1', 'cell2'):
      expected = variables[collection][cell]
      for name in model.space.operations:
        if name in order and name in expected:
          assert_equal(cells[cell][name], expected[name])
        else:
          fills = {'mean': 0, 'var': 1, 'depthwise': 0, 'pointwise': 0}
          for leaf, value in cells[cell].get(name, {}).items():
            assert (value == fills[leaf]).all()


def test_operations_are_counted_among_those_of_the_edge():
  model, variables = supernet('s1', nodes=4)
  state_dict = torch_weights.supernet_to_torch(variables, model)
  # Edge 0 of a normal cell has skip_connect and dil_conv_3x3.
  assert 'cells.0._ops.0._ops.1.op.1.weight' in state_dict
  # Edge 1 of a reduction cell has max_pool_3x3 and dil_conv_3x3.
  assert 'cells.1._ops.1._ops.0.1.running_mean' in state_dict
  assert state_dict['cells.1._ops.1._ops.1.op.1.weight'].shape == (4, 1, 3, 3)


def test_pool_statistics_are_on_every_edge():
  model, variables = supernet()
  state_dict = torch_weights.supernet_to_torch(variables, model)
  # Edges 0 and 2 leave input 0.
  means = [
    state_dict[f'cells.0._ops.{e}._ops.1.1.running_mean'] for e in (0, 2)
  ]
  np.testing.assert_array_equal(*means)
  kept = variables['batch_stats']['cell0']['max_pool_3x3']['mean'][0, 0]
  np.testing.assert_array_equal(means[0], kept)


@pytest.mark.parametrize('name', ['DARTS_V2', 'NASNet', 'AmoebaNet'])
@pytest.mark.parametrize('auxiliary', [False, True])
def test_network_round_trip(name, auxiliary):
  model, variables = network(name, auxiliary)
  state_dict = torch_weights.network_to_torch(variables, model)
  assert auxiliary == ('auxiliary_head.classifier.bias' in state_dict)
  back = torch_weights.network_from_torch(state_dict, model)
  assert_equal(back, variables)


def test_layouts():
  model, variables = network('AmoebaNet')
  state_dict = torch_weights.network_to_torch(variables, model)
  edge = variables['params']['cell1']['edge8']
  row = state_dict['cells.1._ops.8.1.weight']
  assert row.shape == (4, 4, 1, 7)
  assert row[1, 2, 0, 3] == edge['weights']['row'][3, 2, 1]
  column = state_dict['cells.1._ops.8.2.weight']
  assert column.shape == (4, 4, 7, 1)
  assert column[1, 2, 3, 0] == edge['weights']['column'][3, 2, 1]
  stem = state_dict['stem.0.weight']
  kernel = variables['params']['stem']['kernel']
  assert stem.shape == (6, 1, 3, 3)
  assert stem[4, 0, 1, 2] == kernel[1, 2, 0, 4]


def test_running_averages_may_be_absent():
  model, variables = network()
  state_dict = torch_weights.network_to_torch(
    {'params': variables['params']}, model
  )
  assert not [name for name in state_dict if 'running' in name]
  state_dict['stem.1.num_batches_tracked'] = np.array(7)
  back = torch_weights.network_from_torch(state_dict, model)
  assert_equal(back['params'], variables['params'])
  statistics = back['batch_stats']['stem']['norm']['norm']
  np.testing.assert_array_equal(statistics['mean'], np.zeros(6))
  np.testing.assert_array_equal(statistics['var'], np.ones(6))


def test_what_does_not_fit_is_listed():
  model, variables = network()
  state_dict = torch_weights.network_to_torch(variables, model)
  del state_dict['stem.0.weight']
  state_dict['stem.1.bias'] = np.zeros(7)
  state_dict['module.stem.1.bias'] = np.zeros(6)
  with pytest.raises(UserError) as error:
    torch_weights.network_from_torch(state_dict, model)
  assert str(error.value) == (
    'The state dict does not fit the network; missing: stem.0.weight; '
    'unexpected: module.stem.1.bias; wrong shape: stem.1.bias (7,) instead of '
    '(6,).'
  )
  with pytest.raises(UserError, match=r'missing: .* and \d+ more\.$'):
    torch_weights.network_from_torch({}, model)
  headless, _ = network(auxiliary=False)
  with pytest.raises(UserError, match='unexpected: .*auxiliary_head'):
    torch_weights.network_from_torch(state_dict, headless)


def test_unknown_operation_is_refused():
  model, variables = supernet('s2')
  with pytest.raises(UserError, match="space 's2' 'noise'; valid are: skip"):
    torch_weights.supernet_to_torch(variables, model, ['noise'])
