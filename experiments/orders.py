"""How far off the alpha gradients of second order are, by how they are taken.

    python experiments/orders.py

At the start of the published search of tests/golden, on each of its batches:
the exact gradient and that of finite differences, in float32 and in float64,
against the exact one in float64. An error is the norm of the difference over
the norm of what second order adds to the gradient at the unrolled weights.
"""

import functools
import pathlib
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.methods import gradient
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.loss import Task, make_loss
from opp_darts_jax.methods.method import no_term
from opp_darts_jax.methods.optimizers import weight_optimizer
from opp_darts_jax.methods.state import Batch, SearchState
from opp_darts_jax.networks.export import torch_weights
from opp_darts_jax.spaces.catalogue import SPACES
from opp_darts_jax.supernet.supernet import Supernet

GOLDEN = pathlib.Path(__file__).parents[1] / 'tests/golden'
RATE = 0.025


def load(data, dtype):
  """A search of a file's numbers in a type: task, state, pairs of batches."""
  sizes = [int(data[name]) for name in ('layers', 'C')]
  model = Supernet(SPACES['darts'], *sizes, classes=10)
  state_dict = {n[3:]: data[n] for n in data if n.startswith('sd/')}
  variables = torch_weights.supernet_from_torch(state_dict, model)
  alphas = {kind: data[f'alphas0_{kind}'] for kind in model.space.kinds}
  images = {half: np.moveaxis(data[f'x{half}'], 2, -1) for half in 'tv'}
  variables, alphas, images = jax.tree.map(
    lambda leaf: jnp.asarray(leaf, dtype), (variables, alphas, images)
  )
  weights = variables['params']
  weight_opt = weight_optimizer(SearchConfig().weights).init(weights)
  mask = jax.tree.map(jnp.asarray, model.space.mask())
  state = SearchState(
    0, weights, variables['batch_stats'], alphas, mask, weight_opt, None
  )
  halves = [zip(images[half], data[f'y{half}']) for half in 'tv']
  batches = [[Batch(*batch) for batch in pair] for pair in zip(*halves)]
  task = Task(SearchConfig(), model.space, darts(), model, per_epoch=1)
  return task, state, batches


def alpha_gradients(data, order, dtype):
  """The gradient of each pair of batches, as the rows of a matrix."""
  with jax.enable_x64(dtype == np.float64):
    task, state, batches = load(data, dtype)
    rate = dtype(RATE)

    def loss(batch_stats):
      return make_loss(task, state.replace(batch_stats=batch_stats), no_term)

    @jax.jit
    def of(train, val):
      args = state, rate, train, val, jax.random.key(0)
      config = SearchConfig(order=order)
      grads = gradient.second_order_gradient((loss, loss), config, *args)[0]
      return jnp.concatenate([g.ravel() for g in jax.tree.leaves(grads)])

    return np.array([of(*pair) for pair in batches], np.float64)


def without_product(gradient_of, batch_stats, weights, direction):
  """In place of a product: what second order adds is left out."""
  zeros = jax.tree.map(jnp.zeros_like, gradient_of(batch_stats, weights)[1])
  return batch_stats, zeros


def main():
  """Prints the median and the largest error of each way."""
  with np.load(GOLDEN / 'bilevel_second_a.npz') as file:
    data = dict(file)
  exact = alpha_gradients(data, 'second', np.float64)
  with mock.patch.object(gradient, 'exact_product', without_product):
    added = exact - alpha_gradients(data, 'second', np.float64)
  norm = functools.partial(np.linalg.norm, axis=1)
  share = norm(added) / norm(exact)
  print(f'what second order adds: {np.median(share):.1%} of the gradient')
  for order in ('second', 'second_fd'):
    for dtype in (np.float32, np.float64):
      error = norm(alpha_gradients(data, order, dtype) - exact) / norm(added)
      print(
        f'{order:9} {dtype.__name__}: {np.median(error):.1e}, '
        f'at most {error.max():.1e}'
      )


if __name__ == '__main__':
  main()
