"""The published search: steps of alphas and of weights, of both orders."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from golden_files import (
  DOUBLE,
  GRADIENT,
  OUTPUT,
  SPACE,
  arrays,
  files,
  group,
  nhwc,
  tables,
)
from golden_supernets import load_supernet, task_of

from opp_darts_jax.methods.optimizers import alpha_optimizer, weight_optimizer
from opp_darts_jax.methods.state import Batch, SearchState
from opp_darts_jax.methods.steps import search_step
from opp_darts_jax.networks.export import torch_weights

RATE = 0.025


@files('bilevel_*.npz')
def test_bilevel(path, close):
  """The steps of a file, in the type of its numbers.

  In float64 all of them, and the weights after the last. In float32 the first
  alone: a ReLU or a maximum within rounding of where it switches decides for a
  gradient's path, and from the second step on the weights have rounded.
  """
  data = arrays(path)
  dtype = data['alphas_normal'].dtype
  double = dtype == np.float64
  steps = len(data['xt']) if double else 1
  output, gradient = (DOUBLE, DOUBLE) if double else (OUTPUT, GRADIENT)
  order = 'first' if path.stem.startswith('bilevel_first') else 'second_fd'
  with jax.enable_x64(double):
    task, state = start(data, order, dtype)
    step = jax.jit(functools.partial(search_step, task))
    for i in range(steps):
      before = state
      state, metrics = step(state, *inputs(data, i, dtype), jax.random.key(0))
      close(f'{order}: loss', metrics.train_loss, data['losses'][i], output)
      grads = alpha_gradient(task.config.alphas, before, state)
      for cell in SPACE.kinds:
        want = data[f'agrad_{cell}'][i]
        close(f'{order}: alpha gradient', grads[cell], want, gradient)
        want = data[f'alphas_{cell}'][i]
        close(f'{order}: alphas', state.alphas[cell], want, gradient)
  if steps == len(data['xt']):
    final = torch_weights.supernet_to_torch(
      {'params': state.weights}, task.model
    )
    for name, want in group(data, 'final/').items():
      close(f'{order}: final weights', final[name], want, output)


def start(data, order, dtype):
  """The search of a file, and its state before the first step."""
  alphas = tables(data, 'alphas0_')
  model, variables = load_supernet(group(data, 'sd/'), len(alphas['normal']))
  task = task_of(model, order=order)
  variables, alphas = jax.tree.map(
    lambda leaf: np.asarray(leaf, dtype), (variables, alphas)
  )
  weights = variables['params']
  return task, SearchState(
    step=jnp.zeros((), jnp.int32),
    weights=weights,
    batch_stats=variables['batch_stats'],
    alphas=alphas,
    mask=jax.device_put(model.space.mask()),
    weight_opt=weight_optimizer(task.config.weights).init(weights),
    alpha_opt=alpha_optimizer(task.config.alphas).init(alphas),
  )


def inputs(data, i, dtype):
  """The learning rate and the batches of a step."""
  batches = [
    Batch(nhwc(data[f'x{half}'][i]).astype(dtype), data[f'y{half}'][i])
    for half in 'tv'
  ]
  return dtype.type(RATE), *batches


def alpha_gradient(config, before, after):
  """What Adam's first moment has of a step, but the weight decay."""

  def gradient(old, new, alphas):
    step = (new - config.b1 * old) / (1 - config.b1)
    return step - config.weight_decay * alphas

  old, new = (optax.tree.get(s.alpha_opt, 'mu') for s in (before, after))
  return jax.tree.map(gradient, old, new, before.alphas)
