"""A network of a few products of matrices, in place of a supernet.

Gradients are known, and a step compiles in no time.
"""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp

from opp_darts_jax.running.searches import live


class Network(NamedTuple):
  """What searches ask of a supernet; programs are kept by it."""

  init: Callable[..., Any]
  apply: Callable[..., Any]
  space: Any
  classes: int


@functools.cache
def network(space, classes=3, cells=1):
  """What stands for a supernet of the space, of so many cells."""
  names = space.names

  def init(key, images, tables, mask, train):
    """Variables for images of any size; `key` may be of any kind."""
    del tables, mask, train
    pixels = images[0].size
    shape = cells, len(names), space.graph.num_edges, pixels, 5
    ends = 5 * classes
    # Drawn at once: each draw has to be compiled.
    numbers = jax.random.normal(key, (math.prod(shape) + ends,))
    kernels = numbers[ends:].reshape(shape) / pixels
    params = {
      f'cell{i}': {
        name: {'kernel': kernels[i, j]} for j, name in enumerate(names)
      }
      for i in range(cells)
    }
    params['head'] = numbers[:ends].reshape(5, classes)
    return {'params': params, 'batch_stats': {'mean': jnp.zeros(5)}}

  def apply(variables, images, tables, mask, train, key, mutable):
    """Logits and running averages; a passage by averages moves none."""
    del key
    weights = variables['params']
    x = images.reshape(len(images), -1)
    shares = jnp.zeros(len(names))
    for kind, table in tables.items():
      table = table * mask[kind]
      # Copies and edges count for different amounts.
      counts = jnp.arange(1.0, 1 + table[..., 0].size).reshape(table.shape[:-1])
      shares += (table * counts[..., None]).sum(range(table.ndim - 1))
    hidden = sum(
      share * jnp.tanh(x @ weights[f'cell{i}'][name]['kernel'].sum(0))
      for i in range(cells)
      for share, name in zip(shares, names)
    )
    old = variables['batch_stats']['mean']
    if not train:
      return (hidden - old) @ weights['head'], {}
    moved = {'mean': 0.9 * old + 0.1 * hidden.mean(0)}
    return hidden @ weights['head'], {'batch_stats': moved}

  return Network(init, apply, space, classes)


@contextlib.contextmanager
def in_place_of_supernets(check: bool = False) -> Iterator[None]:
  """Searches that begin within have such networks, of as many cells.

  Args:
    check: whether methods and operations are checked as they usually are.
  """
  make = live.make_task
  check_task = live.check_task if check else lambda task: None

  @functools.cache
  def make_task(config, space, method, classes, per_epoch):
    task = make(config, space, method, classes, per_epoch)
    model = network(task.model.space, classes, config.layers)
    return dataclasses.replace(task, model=model)

  with mock.patch.multiple(live, make_task=make_task, check_task=check_task):
    yield
