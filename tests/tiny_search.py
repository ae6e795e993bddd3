"""Tiny searches, for the tests of methods and of what runs them."""

import collections
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.halves import init_state
from opp_darts_jax.methods.loss import make_task
from opp_darts_jax.methods.method import Draw, Progress
from opp_darts_jax.methods.optimizers import alpha_optimizer, weight_optimizer
from opp_darts_jax.methods.state import Batch, SearchState
from opp_darts_jax.operations.catalogue import named
from opp_darts_jax.spaces.space import Space

KEY = jax.random.key(0)
CLASSES = 3
PER_EPOCH = 2
COPIES = 2
IMAGE = (8, 8, 1)


def space_of(name, *operations, nodes=2):
  """A space of the catalogue's operations on every edge of DARTS's cells."""
  return Space(name, named(*operations)).with_nodes(nodes)


def mask_of(space, *operations):
  """The mask of some operations, by default of all, as arrays."""
  return jax.device_put(space.mask(operations or None))


def task_of(space, method=None, **fields):
  """A search of two cells of four channels, epochs of two steps."""
  sizes = {'epochs': 4, 'layers': 2, 'channels': 4, 'batch_size': 4}
  config = SearchConfig(**{**sizes, **fields})
  return make_task(config, space, method or darts(), CLASSES, PER_EPOCH)


@functools.cache
def shapes_of(task):
  """A state of shapes; nothing is computed."""
  mask = mask_of(task.space)
  return jax.eval_shape(lambda: init_state(task, KEY, IMAGE, mask))


def random_state(task, *operations):
  """A state in which these operations, by default all, are active.

  As at the first step, but that nothing is compiled to make it.
  """
  shapes = shapes_of(task)
  params = task.method.init(KEY, task.space)
  weights = _fill(shapes.weights)
  return shapes.replace(
    step=jnp.zeros((), jnp.int32),
    weights=weights,
    batch_stats=_fill(shapes.batch_stats),
    alphas=params,
    mask=mask_of(task.space, *operations),
    weight_opt=weight_optimizer(task.config.weights).init(weights),
    alpha_opt=alpha_optimizer(task.config.alphas).init(params),
    own=task.method.init_own(task.space, weights),
  )


def random_variables(model, *given):
  """Variables of a supernet, likewise."""
  init = functools.partial(model.init, train=True)
  return _fill(jax.eval_shape(init, KEY, *given))


def _fill(shapes):
  numbers = np.random.default_rng(0)

  def fill(path, leaf):
    name = path[-1].key
    if name in ('mean', 'var'):
      return jax.device_put(np.full(leaf.shape, name == 'var', np.float32))
    # Scales about 1, or a ReLU might let nothing through.
    drawn = numbers.standard_normal(leaf.shape) / 4
    return jax.device_put(np.float32(drawn + (name == 'scale')))

  return jax.tree_util.tree_map_with_path(fill, shapes)


def batches(size=4, seed=0):
  """A batch of D_train and one of D_val."""
  keys = jax.random.split(jax.random.key(seed), 2)
  return tuple(
    Batch(
      jax.random.normal(key, (size, *IMAGE)), (jnp.arange(size) + i) % CLASSES
    )
    for i, key in enumerate(keys)
  )


def loss_after_step(loss, settings, rate, state, alphas, train, val, key=KEY):
  """L_val at the weights after a step on D_train, written as one function."""
  grads = jax.grad(loss, has_aux=True)(state.weights, alphas, train, key)[0]
  moved = jax.tree.map(
    lambda w, v, g: (
      w - rate * (settings.momentum * v + g + settings.weight_decay * w)
    ),
    state.weights,
    optax.tree.get(state.weight_opt, 'trace'),
    grads,
  )
  return loss(moved, alphas, val, key)[0]


def draw_of(step=0, epochs=4, key=KEY, cells=COPIES):
  """What operation weights are drawn by at a step."""
  step = jnp.int32(step)
  progress = Progress(step, step // PER_EPOCH, epochs)
  return Draw(key, progress, collections.defaultdict(lambda: cells))


def derived(method, space, params, mask=None, own=None):
  """What a method derives of parameters alone."""
  mask = mask_of(space) if mask is None else mask
  state = SearchState(None, None, None, params, mask, None, None, own)
  return method.derive(method, search_of(space), state)


def search_of(space, config=None, **functions):
  """A search as methods see one, without what it evaluates unless given."""
  config = config or SearchConfig(epochs=4)
  return types.SimpleNamespace(space=space, config=config, key=KEY, **functions)
