"""The published PyTorch code's numbers, reproduced.

Reads every file of every kind in the directory that OPP_DARTS_GOLDEN names, by
default golden/ beside this file, and takes all sizes from the files.
`python tests/golden_test.py` prints the largest deviation of every quantity.

A deviation is the largest difference in an array, relative to the array's
largest value. float32 sums in another order account for 1e-5 of an output and
1e-4 of a gradient; a real fault is far larger.
"""

import functools
import json
import os
import pathlib
import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.genotypes import published
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.genotypes.graph import CellGraph
from opp_darts_jax.methods import gradient as gradient_lib
from opp_darts_jax.methods import halves, progressive
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.loss import Task, make_loss
from opp_darts_jax.methods.method import no_term
from opp_darts_jax.methods.optimizers import alpha_optimizer, weight_optimizer
from opp_darts_jax.methods.state import Batch, SearchState
from opp_darts_jax.methods.steps import search_step
from opp_darts_jax.methods.tables import init_alphas
from opp_darts_jax.networks import network
from opp_darts_jax.networks.cell import EdgeOperation
from opp_darts_jax.networks.export import torch_weights
from opp_darts_jax.operations import entries
from opp_darts_jax.operations.catalogue import OPERATIONS, named
from opp_darts_jax.spaces.catalogue import SPACES
from opp_darts_jax.spaces.space import Space
from opp_darts_jax.supernet.supernet import Supernet

GOLDEN = pathlib.Path(
  os.environ.get('OPP_DARTS_GOLDEN')
  or pathlib.Path(__file__).with_name('golden')
)
SPACE = SPACES['darts']
RATE = jnp.float32(0.025)
OUTPUT = 1e-5
GRADIENT = 1e-4
# The gradients of some of the many kernels are small sums of large terms.
KERNEL_GRADIENT = 5e-4
ROUNDING = 1e-7
ATTEMPTS = 64


pytestmark = pytest.mark.usefixtures('quick_compilation')


def files(pattern):
  """A parameter for every file of a kind, at least one."""
  paths = sorted(GOLDEN.glob(pattern)) or [GOLDEN / pattern]
  return pytest.mark.parametrize('path', paths, ids=lambda p: p.stem)


def deviation(got, want):
  """The largest difference, relative to the largest of the expected values."""
  got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
  assert got.shape == want.shape
  return float(np.abs(got - want).max() / (np.abs(want).max() or 1.0))


@pytest.fixture
def close(record_property):
  """Asserts that an array is as expected, and records how far it is off."""

  def check(quantity, got, want, tolerance):
    found = deviation(got, want)
    record_property('deviation', (quantity, found, tolerance))
    assert found <= tolerance, f'{quantity} is off by {found:.1e}'

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


# From the weights of a supernet as one vector to their tree. As a vector they
# take a fraction of the small programs that steps outside of jit compile.
UNRAVEL = {}


def nodes_of(edges):
  """Nodes of a cell of DARTS with as many edges."""
  counts = (CellGraph(2, nodes).num_edges for nodes in range(1, 20))
  return 1 + list(counts).index(edges)


def load_supernet(state_dict, edges, order=None):
  """The supernet of a state dict, in the space `darts`, and its variables."""
  space = SPACE.with_nodes(nodes_of(edges))
  cells = [re.match(r'cells\.(\d+)', name) for name in state_dict]
  model = Supernet(
    space,
    layers=1 + max(int(cell[1]) for cell in cells if cell),
    channels=len(state_dict['stem.0.weight']) // 3,
    classes=len(state_dict['classifier.bias']),
  )
  variables = torch_weights.supernet_from_torch(state_dict, model, order)
  return model, *flatten(model, variables)


def flatten(model, variables):
  """The weights as a vector, and the running averages."""
  weights, UNRAVEL[model] = ravel_pytree(variables['params'])
  return weights, variables['batch_stats']


def tables(data, prefix, order=SPACE.names):
  """Alpha tables over the operations of the space, from columns in `order`."""
  columns = [SPACE.names.index(name) for name in order]

  def table(columns_EK):
    table_EK = np.zeros((len(columns_EK), len(SPACE.names)), np.float32)
    table_EK[:, columns] = columns_EK
    return jnp.asarray(table_EK)

  return {cell: table(data[prefix + cell]) for cell in SPACE.kinds}


def task_of(model, **fields):
  """The search by DARTS that has this supernet."""
  return Task(SearchConfig(**fields), model.space, darts(), model, per_epoch=1)


@functools.cache
def gradient_program(model):
  """The loss, its gradients and the logits: the one program of each size."""

  def gradient(batch_stats, mask, weights, alphas, batch, key):
    def apply(variables, *args, **kwargs):
      params = UNRAVEL[model](variables['params'])
      variables = {**variables, 'params': params}
      logits, changed = model.apply(variables, *args, **kwargs)
      return logits, {'batch_stats': (changed['batch_stats'], logits)}

    task = task_of(types.SimpleNamespace(apply=apply, space=model.space))
    state = start(model, weights, batch_stats, alphas).replace(mask=mask)
    loss = make_loss(task, state, no_term)
    (value, aux), grads = jax.value_and_grad(loss, (0, 1), has_aux=True)(
      weights, alphas, batch, key
    )
    batch_stats, logits = aux.batch_stats
    return (value, aux._replace(batch_stats=batch_stats)), grads, logits

  return jax.jit(gradient)


def compiled_loss(task, state, term=no_term, mask=None):
  """What `make_loss` returns, but every gradient is `gradient_program`'s.

  With it the steps of a search run operation by operation, and nearly nothing
  is left to compile.
  """
  del term  # DARTS has none.
  mask = state.mask if mask is None else mask
  program = functools.partial(
    gradient_program(task.model), state.batch_stats, mask
  )

  @jax.custom_vjp
  def loss(*args):
    return program(*args)[0]

  def backward(grads, cotangents):
    grads = jax.tree.map(lambda g: cotangents[0] * g, grads)
    return (*grads, None, None)

  loss.defvjp(lambda *args: program(*args)[:2], backward)
  return loss


@functools.cache
def operation_program(name, channels, stride):
  record = OPERATIONS[name].in_network
  operation = EdgeOperation(record, channels, stride)

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
    record, stride = operation.operation, operation.stride
    own = list(entries.operation_entries(record, stride))
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


def to_torch(weights, model):
  """A vector of weights, or of their gradients, under PyTorch's names."""
  params = UNRAVEL[model](weights)
  return torch_weights.supernet_to_torch({'params': params}, model)


@files('supernet_*.npz')
def test_supernet(path, close):
  data = arrays(path)
  model, weights, batch_stats = load_supernet(
    group(data, 'sd/'), len(data['alphas_normal'])
  )
  (loss, _), (grads, alpha_grads), logits = gradient_program(model)(
    batch_stats,
    model.space.mask(),
    weights,
    tables(data, 'alphas_'),
    Batch(nhwc(data['x']), data['y']),
    jax.random.key(0),
  )
  close('logits', logits, data['logits'], OUTPUT)
  close('loss', loss, data['loss'], OUTPUT)
  for cell in SPACE.kinds:
    close('alpha gradient', alpha_grads[cell], data[f'grad_{cell}'], GRADIENT)
  norm = optax.tree.norm(grads)
  close('gradient norm', norm, data['grad_norm'], GRADIENT)
  grads = to_torch(grads, model)
  for name, grad in group(data, 'gw/').items():
    close('weight gradient', grads[name], grad, KERNEL_GRADIENT)


def bilevel_start(path):
  """The arrays of a file, its model, initial state and batches."""
  data = arrays(path)
  alphas = tables(data, 'alphas0_')
  model, weights, batch_stats = load_supernet(
    group(data, 'sd/'), len(alphas['normal'])
  )
  batches = [
    (Batch(xt, yt), Batch(xv, yv))
    for xt, yt, xv, yv in zip(
      nhwc(data['xt']), data['yt'], nhwc(data['xv']), data['yv']
    )
  ]
  return data, model, start(model, weights, batch_stats, alphas), batches


def start(model, weights, batch_stats, alphas):
  """The state before the first step."""
  config = SearchConfig()
  return SearchState(
    step=jnp.zeros((), jnp.int32),
    weights=weights,
    batch_stats=batch_stats,
    alphas=alphas,
    mask=jax.tree.map(jnp.asarray, model.space.mask()),
    weight_opt=weight_optimizer(config.weights).init(weights),
    alpha_opt=alpha_optimizer(config.alphas).init(alphas),
  )


def alpha_gradient(order, loss, state, train, val):
  """The gradient of an alpha step."""
  key = jax.random.key(0)
  if order == 'first':
    args = state.weights, state.alphas, val, key
    return jax.grad(loss, 1, has_aux=True)(*args)[0]
  config = SearchConfig(order=order)
  return gradient_lib.second_order_gradient(
    (loss, loss), config, state, RATE, train, val, key
  )[0]


@pytest.fixture
def compiled_once(monkeypatch):
  """Steps of a search that run operation by operation on compiled losses."""

  def unrolled_map(f, xs):
    return jax.tree.map(lambda *ys: jnp.stack(ys), *[f(x) for x in xs])

  def unrolled_loop(lower, upper, body, carry):
    return functools.reduce(lambda c, i: body(i, c), range(lower, upper), carry)

  monkeypatch.setattr(halves, 'make_loss', compiled_loss)
  # Outside of a compiled program a loop would be compiled at every call.
  monkeypatch.setattr(jax.lax, 'map', unrolled_map)
  monkeypatch.setattr(jax.lax, 'fori_loop', unrolled_loop)


def rounded(model, weights, seed):
  """Weights as rounding might have left them; those given for seed 0.

  Every 16 seeds the disturbance is three times as large: up to 3e-6 of the
  largest weight, which is what a step's own rounding adds up to.
  """
  if seed == 0:
    return weights
  rng = np.random.default_rng(seed)
  size = ROUNDING * 3 ** (seed // 16)

  def disturb(w):
    noise = rng.standard_normal(w.shape).astype(w.dtype)
    return w + np.float32(size) * np.abs(w).max() * noise

  tree = jax.device_get(UNRAVEL[model](weights))
  return jnp.concatenate([disturb(w).ravel() for w in jax.tree.leaves(tree)])


@files('bilevel_*.npz')
def test_bilevel(path, close, compiled_once):
  """Six steps, each up to where a ReLU or a maximum falls by rounding.

  A number within rounding of 0, or of the maximum beside it, decides for all of
  a gradient's path. The published numbers took one of the two. Where ours, at
  the very weights, take the other, weights a rounding away must take the same.
  """
  data, model, state, batches = bilevel_start(path)
  order = 'first' if path.stem.startswith('bilevel_first') else 'second_fd'
  task = task_of(model, order=order)
  published_final = group(data, 'final/')

  def step(state, i, seed):
    state = state.replace(weights=rounded(model, state.weights, seed))
    return search_step(task, state, RATE, *batches[i], jax.random.key(0))

  def results(state, steps):
    """(quantity, ours, published, tolerance) that follow from the weights."""
    if steps < len(batches):
      loss = compiled_loss(task, state)
      grads = alpha_gradient(order, loss, state, *batches[steps])
      for cell in SPACE.kinds:
        want = data[f'agrad_{cell}'][steps]
        yield f'{order}: alpha gradient', grads[cell], want, GRADIENT
    else:
      final = to_torch(state.weights, model)
      for name, want in published_final.items():
        yield f'{order}: final weights', final[name], want, OUTPUT

  for result in results(state, 0):
    close(*result)
  for i in range(len(batches)):
    for seed in range(ATTEMPTS):
      new, metrics = step(state, i, seed)
      found = list(results(new, i + 1))
      if all(deviation(got, want) <= limit for _, got, want, limit in found):
        break
    state = new
    close(f'{order}: loss', metrics.train_loss, data['losses'][i], OUTPUT)
    for cell in SPACE.kinds:
      want = data[f'alphas_{cell}'][i]
      close(f'{order}: alphas', state.alphas[cell], want, GRADIENT)
    for result in found:
      close(*result)


def test_exact_second_order(close, monkeypatch):
  """Exact second order is what finite differences of a small step tend to.

  At the published step of 0.01 they are far from it: between its ends lie ReLUs
  and maxima that switch. A small step takes double precision.
  """
  monkeypatch.setattr(gradient_lib, 'FINITE_DIFFERENCE_STEP', 1e-6)
  space = Space('small', named('max_pool_3x3', 'sep_conv_3x3')).with_nodes(2)
  model = Supernet(space, layers=1, channels=2, classes=3)
  with jax.enable_x64(True):
    keys = iter(jax.random.split(jax.random.key(0), 4))
    mask = jax.tree.map(jnp.asarray, space.mask())
    alphas = init_alphas(next(keys), space)
    train, val = (
      Batch(jax.random.normal(next(keys), (4, 8, 8, 3)), jnp.arange(4) % 3)
      for _ in range(2)
    )
    init = functools.partial(model.init, train=True)
    variables = jax.jit(init)(next(keys), train.images, alphas, mask)
    variables = jax.tree.map(lambda w: w.astype(jnp.float64), variables)
    state = start(model, variables['params'], variables['batch_stats'], alphas)
    loss = make_loss(task_of(model), state, no_term)

    def gradient(order):
      # The only cell is a reduction cell.
      return jax.jit(
        lambda: alpha_gradient(order, loss, state, train, val)['reduce']
      )()

    exact, differences = gradient('second'), gradient('second_fd')
    far = deviation(exact, gradient('first'))
  assert exact.dtype == jnp.float64
  assert far > 1e-2
  close('exact, double precision', differences, exact, 1e-7)


@files('progressive_*.npz')
def test_progressive(path, close):
  data = arrays(path)
  active = []
  for stage in json.loads(path.with_suffix('.json').read_text()):
    number, names = stage['stage'], stage['candidates']
    losses = {}
    for name in names:
      order = [*active, name]
      state_dict = group(data, f'stage{number}/{name}/')
      alphas = tables(state_dict, 'alphas_', order)
      del state_dict['alphas_normal'], state_dict['alphas_reduce']
      model, weights, batch_stats = load_supernet(
        state_dict, len(alphas['normal']), order
      )
      state = start(model, weights, batch_stats, alphas)
      mask = model.space.mask(order)
      loss = compiled_loss(task_of(model), state, mask=mask)
      losses[name] = np.mean(
        [
          loss(weights, alphas, Batch(x, y), jax.random.key(0))[0]
          for x, y in zip(nhwc(data['xs']), data['ys'])
        ]
      )
    close('operation loss', list(losses.values()), stage['losses'], OUTPUT)
    schedule = ScheduleConfig()
    assert progressive.candidates(SPACE, schedule, active) == tuple(names)
    chosen = progressive.rank(schedule, names, losses, [0])[0]
    assert chosen == stage['chosen']
    active.append(chosen)
    assert stage.get('active', active) == active


@files('network_*.npz')
def test_network(path, close):
  data = arrays(path)
  state_dict = group(data, 'sd/')
  model = network.Network(
    known_genotypes()[str(data['genotype'])],
    layers=int(data['layers']),
    channels=int(data['C']),
    classes=len(state_dict['classifier.bias']),
    auxiliary='aux_logits' in data,
  )
  variables = torch_weights.network_from_torch(state_dict, model)
  x, y = nhwc(data['x']), data['y']

  @jax.jit
  def train(params):
    def loss(params):
      (logits, auxiliary), changed = model.apply(
        {**variables, 'params': params}, x, train=True, mutable=['batch_stats']
      )
      entropy = optax.softmax_cross_entropy_with_integer_labels
      value = entropy(logits, y).mean()
      if auxiliary is not None:
        value += 0.4 * entropy(auxiliary, y).mean()
      return value, (logits, auxiliary, changed)

    return jax.value_and_grad(loss, has_aux=True)(params)

  (loss, (logits, auxiliary, changed)), grads = train(variables['params'])
  close('logits', logits, data['train_logits'], OUTPUT)
  if model.auxiliary:
    close('auxiliary logits', auxiliary, data['aux_logits'], OUTPUT)
  close('loss', loss, data['loss'], OUTPUT)
  close('gradient norm', optax.tree.norm(grads), data['grad_norm'], GRADIENT)
  evaluate = jax.jit(functools.partial(model.apply, train=False))
  logits, _ = evaluate({**variables, **changed}, x)
  close('logits by running averages', logits, data['eval_logits'], OUTPUT)


@functools.cache
def known_genotypes():
  cells = json.loads((GOLDEN / 'known_genotypes.json').read_text())
  return {name: Genotype.from_dict(fields) for name, fields in cells.items()}


@files('known_genotypes*.json')
def test_known_genotypes(path):
  for name, fields in json.loads(path.read_text()).items():
    assert published.GENOTYPES[name] == Genotype.from_dict(fields)


@files('genotypes_*.json')
def test_genotypes(path):
  data = json.loads(path.read_text())
  for case in data['cases']:
    alphas = {
      cell: jnp.asarray(case[f'alphas_{cell}'], jnp.float32)
      for cell in SPACE.kinds
    }
    space = Space('golden', named(*data['primitives'])).with_nodes(
      nodes_of(len(case['alphas_normal']))
    )
    mask = jax.tree.map(jnp.asarray, space.mask())
    state = SearchState(None, None, None, alphas, mask, None, None)
    method = darts()
    search = types.SimpleNamespace(space=space)
    found = method.derive(method, search, state)
    found = found.to_dict()
    fields = set(found) & set(case)
    assert {'normal', 'reduce'} <= fields
    assert {f: found[f] for f in fields} == {f: case[f] for f in fields}


def param_counts():
  for path in sorted(GOLDEN.glob('param_counts_*.json')):
    for i, entry in enumerate(json.loads(path.read_text())):
      yield pytest.param(entry, id=f'{path.stem}-{i}-{entry["network"]}')


@pytest.mark.parametrize('entry', param_counts())
def test_param_counts(entry):
  sizes = [entry[k] for k in ('layers', 'init_channels', 'num_classes')]
  size = 224 if entry['network'] == 'imagenet' else 32
  images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)

  def count(model, *args):
    init = functools.partial(model.init, train=False)
    key = jax.random.key(0)
    return network.count_weights(jax.eval_shape(init, key, images, *args))

  if entry['network'] == 'supernet':
    mask = SPACE.mask()
    assert count(Supernet(SPACE, *sizes), mask, mask) == entry['params']
  else:
    cells = known_genotypes()[entry['genotype']]
    for auxiliary, field in enumerate(('params', 'params_with_auxiliary')):
      model = network.Network(
        cells,
        *sizes,
        auxiliary=bool(auxiliary),
        imagenet=entry['network'] == 'imagenet',
      )
      assert count(model) == entry[field]


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
