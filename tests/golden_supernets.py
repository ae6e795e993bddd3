"""The published supernet: its passes, its gradients, its candidates' losses."""

import functools
import json
import re

import jax
import numpy as np
import optax
from golden_files import (
  GRADIENT,
  OUTPUT,
  SPACE,
  arrays,
  files,
  group,
  nhwc,
  nodes_of,
  tables,
)

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.methods import progressive
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.loss import Task
from opp_darts_jax.methods.state import Batch
from opp_darts_jax.methods.tables import softmax_weights
from opp_darts_jax.networks.export import torch_weights
from opp_darts_jax.supernet.supernet import Supernet

# The gradients of some of the many kernels are small sums of large terms.
KERNEL_GRADIENT = 5e-4


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
  return model, torch_weights.supernet_from_torch(state_dict, model, order)


def task_of(model, **fields):
  """The search by DARTS that has this supernet."""
  return Task(SearchConfig(**fields), model.space, darts(), model, per_epoch=1)


@functools.cache
def gradient_program(model):
  """(loss, logits) and the gradients: the one program of each size."""

  def loss(params, alphas, batch_stats, mask, batch):
    weights = softmax_weights(model.space, alphas, mask)
    variables = {'params': params, 'batch_stats': batch_stats}
    logits, _ = model.apply(
      variables, batch.images, weights, mask, True, mutable=['batch_stats']
    )
    entropy = optax.softmax_cross_entropy_with_integer_labels
    return entropy(logits, batch.labels).mean(), logits

  return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))


def gradients(model, variables, mask, alphas, x, y):
  """(loss, logits), and the gradients for weights and alphas."""
  params, batch_stats = variables['params'], variables['batch_stats']
  batch = Batch(nhwc(x), y)
  return gradient_program(model)(params, alphas, batch_stats, mask, batch)


@files('supernet_*.npz')
def test_supernet(path, close):
  data = arrays(path)
  edges = len(data['alphas_normal'])
  model, variables = load_supernet(group(data, 'sd/'), edges)
  alphas = tables(data, 'alphas_')
  (loss, logits), (grads, alpha_grads) = gradients(
    model, variables, model.space.mask(), alphas, data['x'], data['y']
  )
  close('logits', logits, data['logits'], OUTPUT)
  close('loss', loss, data['loss'], OUTPUT)
  for cell in SPACE.kinds:
    close('alpha gradient', alpha_grads[cell], data[f'grad_{cell}'], GRADIENT)
  norm = jax.jit(optax.tree.norm)(grads)
  close('gradient norm', norm, data['grad_norm'], GRADIENT)
  grads = torch_weights.supernet_to_torch({'params': grads}, model)
  for name, grad in group(data, 'gw/').items():
    close('weight gradient', grads[name], grad, KERNEL_GRADIENT)


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
      edges = len(alphas['normal'])
      model, variables = load_supernet(state_dict, edges, order)
      mask = model.space.mask(order)
      losses[name] = np.mean(
        [
          gradients(model, variables, mask, alphas, x, y)[0][0]
          for x, y in zip(data['xs'], data['ys'])
        ]
      )
    close('operation loss', list(losses.values()), stage['losses'], OUTPUT)
    schedule = ScheduleConfig()
    assert progressive.candidates(SPACE, schedule, active) == tuple(names)
    chosen = progressive.rank(schedule, names, losses, [0])[0]
    assert chosen == stage['chosen']
    active.append(chosen)
    assert stage.get('active', active) == active
