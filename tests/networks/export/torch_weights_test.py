"""Tests of state dicts in PyTorch's names: round trips, and what does not fit.

That the names are those of the PyTorch code is tested in golden_test.py.
"""

import collections
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from genotype_cells import BENCH

from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes import published
from opp_darts_jax.genotypes.darts_form import darts_genotype
from opp_darts_jax.networks.export import torch_weights
from opp_darts_jax.networks.network import Network, variable_shapes
from opp_darts_jax.operations.operation import Operation, no_weights
from opp_darts_jax.operations.torch_names import TorchNames, TorchWeight
from opp_darts_jax.spaces.catalogue import get_space
from opp_darts_jax.spaces.darts import DARTS
from opp_darts_jax.spaces.nasbench201 import NASBENCH201
from opp_darts_jax.supernet.supernet import Supernet


def randomly(shapes):
  """Different numbers everywhere; the same of a pool wherever it is."""
  rng = np.random.default_rng(0)
  return jax.device_put(
    jax.tree.map(lambda s: rng.uniform(0.5, 2, s.shape).astype(s.dtype), shapes)
  )


@functools.cache
def supernet(name='darts', nodes=2, images=3):
  space = get_space(name, nodes)
  model = Supernet(space, layers=3, channels=2, classes=5)
  mask = space.mask()
  init = functools.partial(model.init, train=False)
  x = jax.ShapeDtypeStruct((1, 16, 16, images), jnp.float32)
  key = jax.random.key(0)
  shapes = jax.eval_shape(init, key, x, mask, mask, key=key)
  return model, randomly(shapes)


@functools.cache
def network(name='DARTS_V2', auxiliary=True):
  cells = published.GENOTYPES[name]
  model = Network(cells, 3, channels=2, classes=5, auxiliary=auxiliary)
  if not auxiliary:  # All else is the same, network_test.py says.
    _, variables = network(name)
    return model, {
      collection: {k: v for k, v in parts.items() if k != 'auxiliary_head'}
      for collection, parts in variables.items()
    }
  return model, randomly(variable_shapes(model, (224, 224, 1)))


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
  for collection, cells in jax.device_get(back).items():
    for cell in ('cell0', 'cell1', 'cell2'):
      expected = variables[collection][cell]
      for name in model.space.names:
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


def test_a_supernet_may_lack_running_averages():
  model, variables = supernet()
  state_dict = torch_weights.supernet_to_torch(
    {'params': variables['params']}, model
  )
  assert not [name for name in state_dict if 'running' in name]
  state_dict['stem.1.num_batches_tracked'] = np.array(7)
  back = torch_weights.supernet_from_torch(state_dict, model)
  assert_equal(back['params'], variables['params'])
  statistics = back['batch_stats']['stem']['norm']['norm']
  np.testing.assert_array_equal(statistics['mean'], np.zeros(6))
  np.testing.assert_array_equal(statistics['var'], np.ones(6))


def test_a_network_needs_its_running_averages():
  model, variables = network()
  params = {'params': variables['params']}
  state_dict = torch_weights.network_to_torch(params, model)
  sentence = r'averages of the norms, stem.1.running_mean \(\d\d+ such in all\)'
  with pytest.raises(UserError, match=rf'{sentence}.*state_dict\(\) has them'):
    torch_weights.network_from_torch(state_dict, model)
  state_dict = torch_weights.network_to_torch(variables, model)
  del state_dict['cells.1.preprocess1.op.2.running_var']
  with pytest.raises(UserError, match=r'op.2.running_var \(1 such in all\)'):
    torch_weights.network_from_torch(state_dict, model)


class Tensor:
  """What is asked of PyTorch's, here of one that NumPy cannot take as it is."""

  def __init__(self, array, place='cuda'):
    self.array, self.place, self.shape = array, place, array.shape

  def detach(self):
    return Tensor(self.array, self.place)

  def cpu(self):
    return Tensor(self.array, 'cpu')

  def is_complex(self):
    return False

  def double(self):
    return Tensor(self.array.astype(np.float64), self.place)

  def numpy(self):
    assert self.place == 'cpu'
    return self.array

  def __array__(self, *args, **kwargs):
    raise TypeError('call detach() and cpu()')


def prefixed(state_dict, prefix):
  return {f'{prefix}{name}': value for name, value in state_dict.items()}


@pytest.mark.parametrize(
  'kept',
  [
    lambda d: {name: Tensor(array) for name, array in d.items()},
    lambda d: {n: a.astype(jnp.bfloat16) for n, a in d.items()},
    lambda d: {n: jax.device_put(np.float16(a)) for n, a in d.items()},
    lambda d: prefixed(d, 'module.'),
    lambda d: prefixed(d, 'module._orig_mod.'),
    lambda d: {'state_dict': prefixed(d, 'module.'), 'epoch': 3},
    lambda d: collections.OrderedDict(model=d, optimizer={'state': {}}),
  ],
)
def test_state_dicts_as_people_keep_them(kept):
  model, variables = network()
  # Numbers that every type holds.
  variables = jax.tree.map(lambda x: np.round(4 * np.asarray(x)) / 4, variables)
  state_dict = torch_weights.network_to_torch(variables, model)
  back = torch_weights.network_from_torch(kept(state_dict), model)
  assert_equal(back, variables)


@pytest.mark.parametrize(
  ('kept', 'got'),
  [
    (lambda d: list(d), r'Expected a state dict .* got list\.$'),
    (lambda d: {'net': d, 'ema': d}, 'several in one checkpoint: net, ema;'),
    (lambda d: {'state_dict': {}, 'epoch': 1}, 'missing: stem.0.weight'),
    (
      lambda d: d | {'stem.1.bias': np.array(['a'] * 6)},
      'array of numbers as stem.1.bias, got ndarray: its type is <U1',
    ),
    (lambda d: d | {'stem.1.bias': 1j * np.ones(6)}, 'its type is complex128'),
    (lambda d: d | {'stem.1.bias': [[1], [2, 3]]}, 'stem.1.bias, got list: '),
  ],
)
def test_state_dicts_that_are_none(kept, got):
  model, variables = network()
  state_dict = torch_weights.network_to_torch(variables, model)
  with pytest.raises(UserError, match=got):
    torch_weights.network_from_torch(kept(state_dict), model)


@pytest.mark.parametrize('kind', ['parameter', 'bfloat16', 'module'])
def test_tensors_of_pytorch(kind):
  torch = pytest.importorskip('torch')
  model, variables = network()
  variables = jax.tree.map(lambda x: np.round(4 * np.asarray(x)) / 4, variables)
  state_dict = torch_weights.network_to_torch(variables, model)
  tensors = {n: torch.tensor(a.copy()) for n, a in state_dict.items()}
  if kind == 'parameter':
    tensors = {n: torch.nn.Parameter(t) for n, t in tensors.items()}
  elif kind == 'bfloat16':
    tensors = {n: t.bfloat16() for n, t in tensors.items()}
  else:
    tensors = {'state_dict': prefixed(tensors, 'module.'), 'epoch': 1}
  back = torch_weights.network_from_torch(tensors, model)
  assert_equal(back, variables)


def test_what_does_not_fit_is_listed():
  model, variables = network()
  state_dict = torch_weights.network_to_torch(variables, model)
  del state_dict['stem.0.weight']
  state_dict['stem.1.bias'] = np.zeros(7)
  state_dict['stem.2.bias'] = np.zeros(6)
  with pytest.raises(UserError) as error:
    torch_weights.network_from_torch(state_dict, model)
  assert str(error.value) == (
    'The state dict does not fit the network; missing: stem.0.weight; '
    'unexpected: stem.2.bias; wrong shape: stem.1.bias (7,) instead of '
    '(6,).'
  )
  with pytest.raises(UserError, match=r'missing: .* and \d+ more\.$'):
    torch_weights.network_from_torch({}, model)
  headless, _ = network(auxiliary=False)
  with pytest.raises(UserError, match='unexpected: .*auxiliary_head'):
    torch_weights.network_from_torch(state_dict, headless)


def test_unknown_operation_is_refused():
  model, variables = supernet('s2', nodes=4)
  with pytest.raises(UserError, match="space 's2' 'noise'; valid are: skip"):
    torch_weights.supernet_to_torch(variables, model, ['noise'])


def test_large_images_of_one_channel_and_their_auxiliary_head():
  cells = published.GENOTYPES['DARTS_V1']
  model = Network(cells, 3, 4, 5, auxiliary=True, imagenet=True)
  variables = randomly(variable_shapes(model, (224, 224, 1)))
  state_dict = torch_weights.network_to_torch(variables, model)
  assert state_dict['stem0.0.weight'].shape == (2, 1, 3, 3)
  assert state_dict['auxiliary_head.features.5.weight'].ndim == 4
  assert_equal(torch_weights.network_from_torch(state_dict, model), variables)


def test_names_of_nas_bench_201():
  model = Network(BENCH, 3, 2, 5, space=NASBENCH201)
  variables = randomly(variable_shapes(model, (224, 224, 3)))
  state_dict = torch_weights.network_to_torch(variables, model)
  norm = ('weight', 'bias', 'running_mean', 'running_var')
  # Convolutions of the cells, 0, 2 and 4, and of the blocks between them.
  edges = [f'cells.{n}.layers.{k}.op' for n in (0, 2, 4) for k in (0, 5)]
  convs = [f'cells.{n}.conv_{c}.op' for n in (1, 3) for c in 'ab']
  assert sorted(state_dict) == sorted(
    [
      *('stem.0.weight', 'classifier.weight', 'classifier.bias'),
      *(f'{name}.1.weight' for name in edges + convs),
      *(f'{name}.2.{leaf}' for name in edges + convs for leaf in norm),
      *(f'cells.{n}.downsample.1.weight' for n in (1, 3)),
      *(f'{name}.{leaf}' for name in ('stem.1', 'lastact.0') for leaf in norm),
    ]
  )
  ours = variables['params']['block0']['conv1']['kernel']
  theirs = state_dict['cells.1.conv_b.op.1.weight']
  assert theirs[3, 1, 0, 2] == ours[0, 2, 1, 3]
  ours = variables['params']['cell2']['edge5']['weights']['kernel']
  theirs = state_dict['cells.4.layers.5.op.1.weight']
  assert theirs[7, 1, 0, 2] == ours[0, 2, 1, 7]
  assert_equal(torch_weights.network_from_torch(state_dict, model), variables)


def test_a_supernet_of_nas_bench_201_is_refused():
  model = Supernet(NASBENCH201, layers=3, channels=2, classes=5)
  with pytest.raises(UserError, match="space 'nasbench201' has no names in"):
    torch_weights.supernet_to_torch({'params': {}}, model)


def test_what_has_no_names_is_never_left_out():
  double = Operation(
    'double', no_weights, lambda params, x, norm, stride, key: 2 * x
  )
  space = dataclasses.replace(
    DARTS, name='own', operations=(*DARTS.operations, double)
  )
  cells = darts_genotype(
    *([('double', 0), ('skip_connect', 1)], [2]),
    *([('max_pool_3x3', 0), ('skip_connect', 1)], [2]),
  )
  for convert in (
    torch_weights.network_to_torch,
    lambda v, model: torch_weights.network_from_torch({}, model),
  ):
    with pytest.raises(UserError, match="'double' cannot be exported to PyT"):
      convert({}, Network(cells, 3, 2, 5, space=space))
  with pytest.raises(UserError, match="'double' cannot be exported to PyTorch"):
    torch_weights.supernet_to_torch({}, Supernet(space, 3, 2, 5))
  skeleton = DARTS.skeleton._replace(export=None)
  space = dataclasses.replace(DARTS, name='other', skeleton=skeleton)
  model = Network(published.GENOTYPES['DARTS_V1'], 3, 2, 5, space=space)
  with pytest.raises(UserError, match="space 'other' cannot be exported to Py"):
    torch_weights.network_to_torch({}, model)


def with_names(torch):
  """Two weights, of which `torch` may name one, both or a third."""

  def init(key, copies, channels, stride):
    del key, stride
    leaf = jnp.ones((*copies, channels))
    return {'one': leaf, 'two': leaf}

  def apply(params, x, norm, stride, key):
    del norm, key
    return x[:, ::stride, ::stride] * params['one'] * params['two']

  operation = Operation('own', init, apply, torch=lambda stride: torch)
  space = dataclasses.replace(
    DARTS, name='own', operations=(*DARTS.operations, operation)
  )
  cells = darts_genotype(
    *([('own', 0), ('skip_connect', 1)], [2]),
    *([('own', 0), ('skip_connect', 1)], [2]),
  )
  model = Network(cells, 1, 2, 5, space=space)
  return model, randomly(variable_shapes(model, (224, 224, 1)))


def test_a_weight_without_a_name_is_never_left_out():
  one, two = TorchWeight('a', 'one'), TorchWeight('b', 'two')
  model, variables = with_names(TorchNames((one, two)))
  state_dict = torch_weights.network_to_torch(variables, model)
  assert state_dict['cells.0._ops.0.b'].shape == (4,)
  model, variables = with_names(TorchNames((one,)))
  with pytest.raises(UserError, match='params/cell0/edge0/weights/two of the'):
    torch_weights.network_to_torch(variables, model)
  model, variables = with_names(
    TorchNames((one, two, TorchWeight('c', 'three')))
  )
  sentence = 'edge0/weights/three, which is not there'
  with pytest.raises(UserError, match=f'_ops.0.c is to be .*{sentence}'):
    torch_weights.network_to_torch(variables, model)
