"""Searches on a network of a few products of matrices, in place of a supernet.

Gradients are known, and a step compiles in no time.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_search

from opp_darts_jax.config import SearchConfig, WeightOptimizerConfig
from opp_darts_jax.methods.loss import Task
from opp_darts_jax.methods.optimizers import alpha_optimizer, weight_optimizer
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.steps import search_step
from opp_darts_jax.running import live_search

KEY = tiny_search.KEY
RATE = 0.1
SPACE = tiny_search.space_of('s', 'skip_connect', 'sep_conv_3x3', nodes=1)
TRAIN, VAL = tiny_search.batches()
WEIGHTS = WeightOptimizerConfig(clip_norm=1e6)


class Network(NamedTuple):
  """What searches ask of a supernet; programs are kept by it."""

  init: Callable[..., Any]
  apply: Callable[..., Any]
  space: Any
  classes: int


def network(space, classes=3):
  """What stands for a supernet of the space."""

  def init(key, images, tables, mask, train):
    """Variables for images of any size; `key` may be of any kind."""
    del tables, mask, train
    copies, pixels = space.graph.num_edges, images[0].size
    keys = jax.random.split(key, len(space.names) + 1)
    kernels = {
      name: {'kernel': jax.random.normal(own, (copies, pixels, 5)) / pixels}
      for own, name in zip(keys[1:], space.names)
    }
    head = jax.random.normal(keys[0], (5, classes))
    params = {'cell0': kernels, 'head': head}
    return {'params': params, 'batch_stats': {'mean': jnp.zeros(5)}}

  def apply(variables, images, tables, mask, train, key, mutable):
    """Logits and running averages; a passage by averages moves none."""
    del key
    weights, names = variables['params'], space.names
    x = images.reshape(len(images), -1)
    shares = jnp.zeros(len(names))
    for kind, table in tables.items():
      table = table * mask[kind]
      # Copies and edges count for different amounts.
      counts = jnp.arange(1.0, 1 + table[..., 0].size).reshape(table.shape[:-1])
      shares += (table * counts[..., None]).sum(range(table.ndim - 1))
    hidden = sum(
      share * jnp.tanh(x @ weights['cell0'][name]['kernel'].sum(0))
      for share, name in zip(shares, names)
    )
    old = variables['batch_stats']['mean']
    if not train:
      return (hidden - old) @ weights['head'], {}
    moved = {'mean': 0.9 * old + 0.1 * hidden.mean(0)}
    return hidden @ weights['head'], {'batch_stats': moved}

  return Network(init, apply, space, classes)


def search_of(method, order='first', space=SPACE, epochs=4, mask=None):
  """A search by a method on the toy network, and its first state."""
  config = SearchConfig(epochs=epochs, order=order, weights=WEIGHTS)
  model = network(method.prepare(space))
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


def stepped(task, state):
  """The state after a step, and its metrics."""
  step = jax.jit(lambda state: search_step(task, state, RATE, TRAIN, VAL, KEY))
  return step(state)


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


@contextlib.contextmanager
def in_place_of_supernets() -> Iterator[None]:
  """Searches that begin within have such networks."""
  make = live_search.make_task

  @functools.cache
  def make_task(config, space, method, classes, per_epoch):
    task = make(config, space, method, classes, per_epoch)
    model = network(task.model.space, classes)
    return dataclasses.replace(task, model=model)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(live_search, 'make_task', make_task)
    patch.setattr(live_search, 'check_task', lambda task: None)
    yield
