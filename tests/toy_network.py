"""Searches on what stands for a supernet, and what a step of them did."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tiny_search
import toy_supernet

from opp_darts_jax.config import SearchConfig, WeightOptimizerConfig
from opp_darts_jax.methods.loss import Task
from opp_darts_jax.methods.optimizers import alpha_optimizer, weight_optimizer
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.steps import search_step

KEY = tiny_search.KEY
RATE = 0.1
SPACE = tiny_search.space_of('s', 'skip_connect', 'sep_conv_3x3', nodes=1)
TRAIN, VAL = tiny_search.batches()
WEIGHTS = WeightOptimizerConfig(clip_norm=1e6)


def search_of(method, order='first', space=SPACE, epochs=4, mask=None):
  """A search by a method on the toy network, and its first state."""
  config = SearchConfig(epochs=epochs, order=order, weights=WEIGHTS)
  model = toy_supernet.network(method.prepare(space))
  cells = dict.fromkeys(space.kinds, 2)
  task = Task(config, space, method, model, tiny_search.PER_EPOCH, cells)
  params = method.init(KEY, space)
  numbers = np.random.default_rng(0)
  copies = space.graph.num_edges

  def leaf(*shape):
    return jax.device_put(np.float32(numbers.standard_normal(shape) / 4))

  weights = {
    'cell0': {
      name: {'kernel': leaf(copies, 64, 5) / copies}
      for name in model.space.names
    },
    'head': leaf(5, 3),
  }
  return task, SearchState(
    step=jnp.zeros((), jnp.int32),
    weights=weights,
    batch_stats={'mean': jnp.zeros(5)},
    alphas=params,
    mask=tiny_search.mask_of(space) if mask is None else mask,
    weight_opt=weight_optimizer(WEIGHTS).init(weights),
    alpha_opt=alpha_optimizer(config.alphas).init(params),
    own=method.init_own(space, weights),
  )


@functools.lru_cache(16)
def step_of(task):
  """state -> the state after a step, and its metrics; compiled once."""
  return jax.jit(lambda state: search_step(task, state, RATE, TRAIN, VAL, KEY))


def stepped(task, state):
  """The state after a step, and its metrics."""
  return step_of(task)(state)


def alpha_gradient(task, before, after):
  """The gradient that moved alphas, by Adam's first moment after one step."""
  config = task.config.alphas
  moment = optax.tree.get(after.alpha_opt, 'mu')
  return jax.tree.map(
    lambda m, a: m / (1 - config.b1) - config.weight_decay * a,
    moment,
    before.alphas,
  )


def weight_gradient(before, after):
  """The gradient that moved weights, by the momentum after one step."""
  velocity = optax.tree.get(after.weight_opt, 'trace')
  return jax.tree.map(
    lambda v, w: v - WEIGHTS.weight_decay * w, velocity, before.weights
  )
