"""Published networks and the cells that they are made of."""

import functools
import json
import types

import jax
import jax.numpy as jnp
import optax
import pytest
from golden_files import (
  GOLDEN,
  GRADIENT,
  OUTPUT,
  SPACE,
  arrays,
  files,
  group,
  nhwc,
  nodes_of,
)

from opp_darts_jax.genotypes import published
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.networks import network
from opp_darts_jax.networks.export import torch_weights
from opp_darts_jax.operations.catalogue import named
from opp_darts_jax.spaces.space import Space
from opp_darts_jax.supernet.supernet import Supernet


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

    found, grads = jax.value_and_grad(loss, has_aux=True)(params)
    return found, optax.tree.norm(grads)

  (loss, (logits, auxiliary, changed)), norm = train(variables['params'])
  close('logits', logits, data['train_logits'], OUTPUT)
  if model.auxiliary:
    close('auxiliary logits', auxiliary, data['aux_logits'], OUTPUT)
  close('loss', loss, data['loss'], OUTPUT)
  close('gradient norm', norm, data['grad_norm'], GRADIENT)
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
    mask = jax.device_put(space.mask())
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

  def shapes(model, *args):
    init = functools.partial(model.init, train=False)
    return jax.eval_shape(init, jax.random.key(0), images, *args)

  if entry['network'] == 'supernet':
    mask = SPACE.mask()
    whole = shapes(Supernet(SPACE, *sizes), mask, mask)
    assert network.count_weights(whole) == entry['params']
  else:
    model = network.Network(
      known_genotypes()[entry['genotype']],
      *sizes,
      auxiliary=True,
      imagenet=entry['network'] == 'imagenet',
    )
    whole = shapes(model)
    assert network.count_weights(whole) == entry['params_with_auxiliary']
    # Without the head all else is the same, network_test.py says.
    del whole['params']['auxiliary_head']
    assert network.count_weights(whole) == entry['params']
