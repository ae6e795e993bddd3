"""The published PyTorch code's numbers, reproduced.

Reads every file of every kind in the directory that OPP_DARTS_GOLDEN names, by
default golden/ beside this file, and takes all sizes from the files.
`python tests/golden_test.py` prints the largest deviation of every quantity.

A deviation is the largest difference in an array, relative to the array's
largest value. float32 sums in another order account for 1e-5 of an output and
1e-4 of a gradient; a real fault is far larger.
"""

import functools
import itertools
import json
import os
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from opp_darts_jax import (
  arch,
  bilevel,
  genotype,
  network,
  progressive,
  published,
  torch_weights,
)
from opp_darts_jax.bilevel import Batch
from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.genotype import Genotype
from opp_darts_jax.space import SPACES, num_edges
from opp_darts_jax.supernet import Supernet

GOLDEN = pathlib.Path(
  os.environ.get('OPP_DARTS_GOLDEN')
  or pathlib.Path(__file__).with_name('golden')
)
SPACE = SPACES['darts']
OUTPUT = 1e-5
GRADIENT = 1e-4


def files(pattern):
  """A parameter for every file of a kind, at least one."""
  paths = sorted(GOLDEN.glob(pattern)) or [GOLDEN / pattern]
  return pytest.mark.parametrize('path', paths, ids=lambda p: p.stem)


def entries(pattern, count):
  """A parameter for every entry of the files of a kind."""
  found = [
    pytest.param(path, i, id=f'{path.stem}-{i}')
    for path in sorted(GOLDEN.glob(pattern))
    for i in range(count(json.loads(path.read_text())))
  ]
  return pytest.mark.parametrize(('path', 'i'), found)


@pytest.fixture
def close(record_property):
  """Asserts that an array is as expected, and records how far it is off."""

  def check(quantity, got, want, tolerance):
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape, quantity
    scale = np.abs(want).max() or 1.0
    deviation = np.abs(got - want).max() / scale
    record_property('deviation', (quantity, float(deviation), tolerance))
    assert deviation <= tolerance, f'{quantity} is off by {deviation:.1e}'

  return check


@functools.cache
def arrays(path):
  with np.load(path) as file:
    return dict(file)


def group(data, prefix):
  """The arrays under a prefix, by the rest of their names."""
  return {
    name.removeprefix(prefix): value
    for name, value in data.items()
    if name.startswith(prefix)
  }


def nhwc(images):
  return np.moveaxis(images, -3, -1)


def supernet_of(state_dict, edges):
  """The supernet that a state dict belongs to, in the space `darts`."""
  nodes = next(n for n in itertools.count(1) if num_edges(n) >= edges)
  assert num_edges(nodes) == edges
  cells = [re.match(r'cells\.(\d+)', name) for name in state_dict]
  return Supernet(
    SPACE,
    nodes,
    layers=1 + max(int(cell[1]) for cell in cells if cell),
    channels=len(state_dict['stem.0.weight']) // 3,
    classes=len(state_dict['classifier.bias']),
  )


def tables(data, prefix, order=SPACE.operations):
  """Alpha tables over the operations of the space, from columns in `order`."""
  columns = [SPACE.operations.index(name) for name in order]

  def table(columns_EK):
    table_EK = np.zeros((len(columns_EK), len(SPACE.operations)), np.float32)
    table_EK[:, columns] = columns_EK
    return jnp.asarray(table_EK)

  return {cell: table(data[prefix + cell]) for cell in arch.CELLS}


# One compiled program for each size of network, whatever is in it.
@functools.cache
def loss_program(model):
  def loss(variables, alphas, mask, batch):
    loss = bilevel.make_loss(model, variables['batch_stats'], mask)
    return loss(variables['params'], alphas, batch, jax.random.key(0))[0]

  return jax.jit(loss)


@functools.cache
def gradient_program(model):
  def gradient(variables, alphas, mask, batch):
    def loss(weights, alphas):
      logits, _ = model.apply(
        {**variables, 'params': weights},
        batch.images,
        alphas,
        mask,
        train=True,
        mutable=['batch_stats'],
      )
      losses = optax.softmax_cross_entropy_with_integer_labels(
        logits, batch.labels
      )
      return losses.mean(), logits

    return jax.value_and_grad(loss, (0, 1), has_aux=True)(
      variables['params'], alphas
    )

  return jax.jit(gradient)


@functools.cache
def step_program(model, order):
  config = SearchConfig(order=order)
  return jax.jit(functools.partial(bilevel.search_step, model, config))


@functools.cache
def alpha_gradient_program(model, order):
  config = SearchConfig(order=order)

  def gradient(state, learning_rate, train, val, key):
    loss = bilevel.make_loss(model, state.batch_stats, state.mask)
    return bilevel.alpha_gradient(
      loss, config, state, learning_rate, train, val, key
    )[0]

  return jax.jit(gradient)


@functools.cache
def operation_program(name, channels, stride):
  operation = network.Operation(name, channels, stride)

  def gradients(variables, x, r):
    def product(params, x):
      y, _ = operation.apply(
        {**variables, 'params': params}, x, train=True, mutable='batch_stats'
      )
      return (y * r).sum(), y

    return jax.value_and_grad(product, (0, 1), has_aux=True)(
      variables['params'], x
    )

  return operation, jax.jit(gradients)


@files('primitives_*.npz')
def test_primitives(path, close):
  data = arrays(path)
  cases = sorted({tuple(name.split('/')[:3]) for name in data})
  assert cases
  for name, stride, norms in cases:
    case = group(data, f'{name}/{stride}/{norms}/')
    x, r = nhwc(case['x']), nhwc(case['r'])
    operation, program = operation_program(name, x.shape[-1], int(stride[1:]))
    shapes = jax.eval_shape(
      functools.partial(operation.init, train=True), jax.random.key(0), x
    )
    shapes = {'params': {}, 'batch_stats': {}} | shapes
    own = list(torch_weights.operation_entries(name, operation.stride))
    params = group(case, 'param/')
    if norms == 'plain':  # Scale 1 and bias 0 are as good as none.
      for i, entry in enumerate(own):
        if entry.path[0] == 'params' and entry.path[-1] in ('scale', 'bias'):
          value = float(entry.path[-1] == 'scale')
          params[entry.name] = np.full(x.shape[-1], value, np.float32)
    variables, faults = torch_weights.load(own, shapes, params)
    assert not faults
    (_, y), (grads, grad_x) = program(variables, x, r)
    close('output', y, nhwc(case['y']), OUTPUT)
    close('input gradient', grad_x, nhwc(case['grad_x']), GRADIENT)
    grads = torch_weights.dump(own, {'params': grads})
    for param, grad in group(case, 'grad/').items():
      close('weight gradient', grads[param], grad, GRADIENT)


@files('supernet_*.npz')
def test_supernet(path, close):
  data = arrays(path)
  model = supernet_of(group(data, 'sd/'), len(data['alphas_normal']))
  variables = torch_weights.supernet_from_torch(group(data, 'sd/'), model)
  batch = Batch(nhwc(data['x']), data['y'])
  (loss, logits), (grads, alpha_grads) = gradient_program(model)(
    variables, tables(data, 'alphas_'), SPACE.mask(model.nodes), batch
  )
  close('logits', logits, data['logits'], OUTPUT)
  close('loss', loss, data['loss'], OUTPUT)
  for cell in arch.CELLS:
    close('alpha gradient', alpha_grads[cell], data[f'grad_{cell}'], GRADIENT)
  norm = optax.tree.norm(grads)
  close('gradient norm', norm, data['grad_norm'], GRADIENT)
  grads = torch_weights.supernet_to_torch({'params': grads}, model)
  for name, grad in group(data, 'gw/').items():
    close('weight gradient', grads[name], grad, GRADIENT)


def bilevel_start(path):
  """The model, the initial state and the batches of a file."""
  data = arrays(path)
  alphas = tables(data, 'alphas0_')
  model = supernet_of(group(data, 'sd/'), len(alphas['normal']))
  variables = torch_weights.supernet_from_torch(group(data, 'sd/'), model)
  config = SearchConfig()
  state = bilevel.SearchState(
    step=jnp.zeros((), jnp.int32),
    weights=variables['params'],
    batch_stats=variables['batch_stats'],
    alphas=alphas,
    mask=jax.tree.map(jnp.asarray, SPACE.mask(model.nodes)),
    weight_opt=bilevel.weight_optimizer(config.weights).init(
      variables['params']
    ),
    alpha_opt=arch.alpha_optimizer(config.alphas).init(alphas),
  )
  train = Batch(nhwc(data['xt']), data['yt'])
  val = Batch(nhwc(data['xv']), data['yv'])
  return data, model, state, zip(zip(*train), zip(*val))


@files('bilevel_*.npz')
def test_bilevel(path, close):
  data, model, state, batches = bilevel_start(path)
  order = 'first' if 'first' in path.stem else 'second_fd'
  step = step_program(model, order)
  rate, key = jnp.float32(0.025), jax.random.key(0)
  for i, (train, val) in enumerate(batches):
    grads = alpha_gradient_program(model, order)(
      state, rate, Batch(*train), Batch(*val), key
    )
    state, metrics = step(state, rate, Batch(*train), Batch(*val), key)
    close('loss', metrics.train_loss, data['losses'][i], OUTPUT)
    for cell in arch.CELLS:
      close(
        'alpha gradient', grads[cell], data[f'agrad_{cell}'][i], GRADIENT
      )
      close(
        'alphas', state.alphas[cell], data[f'alphas_{cell}'][i], GRADIENT
      )
  final = torch_weights.supernet_to_torch({'params': state.weights}, model)
  for name, weight in group(data, 'final/').items():
    close('final weights', final[name], weight, OUTPUT)


class Summary:
  """A pytest plugin that prints the largest deviations of each kind of file."""

  def __init__(self):
    self.largest = {}

  def pytest_runtest_logreport(self, report):
    for name, value in report.user_properties:
      if name == 'deviation':
        quantity, deviation, tolerance = value
        key = re.search(r'test_(\w+)', report.nodeid)[1], quantity, tolerance
        self.largest[key] = max(self.largest.get(key, 0.0), deviation)

  def pytest_terminal_summary(self, terminalreporter):
    terminalreporter.section('largest deviations')
    for (test, quantity, tolerance), deviation in self.largest.items():
      terminalreporter.write_line(
        f'{test:20} {quantity:24} {deviation:8.1e} (limit {tolerance:.0e})'
      )


if __name__ == '__main__':
  raise SystemExit(pytest.main([__file__], plugins=[Summary()]))
