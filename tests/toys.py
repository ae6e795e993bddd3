"""Spaces as a user would write them: operations, cells, a skeleton.

Nothing but the public records is used.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from opp_darts_jax.genotypes.graph import CellGraph
from opp_darts_jax.operations.catalogue import OPERATIONS
from opp_darts_jax.operations.norm import measure
from opp_darts_jax.operations.operation import Operation, no_weights
from opp_darts_jax.spaces.skeleton import Part, Skeleton, no_block
from opp_darts_jax.spaces.space import Space


def _init_scale(key, copies, channels, stride):
  del stride
  return {'factor': 1 + jax.random.normal(key, (*copies, channels)) / 4}


def _apply_scale(params, x, norm, stride, key):
  del key
  return norm(measure(jnp.tanh(x[:, ::stride, ::stride] * params['factor'])), 0)


SCALE = Operation(
  'scale',
  _init_scale,
  lambda *args: _apply_scale(*args).value,
  norms=lambda stride: 1,
  parametric=True,
)
HALF = Operation(
  'half',
  no_weights,
  lambda params, x, norm, stride, key: x[:, ::stride, ::stride] / 2,
  shared=lambda stride: True,
)


def _plan(layers, channels, imagenet):
  """Every second cell halves the resolution and doubles the channels."""
  del imagenet
  parts = []
  for layer in range(layers):
    halves = layer % 2 == 1
    channels *= 1 + halves
    parts.append(Part(f'cell{layer}', 'only', channels, reduction=halves))
  return tuple(parts)


def _stem(images, channels, imagenet, train):
  del imagenet, train
  return (nn.Conv(channels, (1, 1), name='stem')(images),)


def _inputs(outputs, part, affine, train):
  del affine, train
  return (nn.Conv(part.channels, (1, 1), name='input')(outputs[0]),)


def _head(x, classes, train):
  del train
  return nn.Dense(classes, name='head')(x.mean((1, 2)))


TOY = Space(
  'toy',
  (OPERATIONS['none'], SCALE, HALF),
  graph=CellGraph(inputs=1, nodes=2),
  kinds=('only',),
  skeleton=Skeleton(_plan, _stem, _inputs, no_block, _head),
)
"""One input, one kind of cell, operations and a skeleton of its own."""

SPARSE = Space(
  'sparse',
  (SCALE, OPERATIONS['skip_connect'], OPERATIONS['max_pool_3x3']),
  graph=CellGraph(2, 2, output=(3,), edges=((0, 2), (1, 3), (2, 3))),
  candidates=(
    (
      'normal',
      (
        ('skip_connect', 'max_pool_3x3'),
        ('scale',),
        ('scale', 'max_pool_3x3'),
      ),
    ),
  ),
)
"""Cells of DARTS's skeleton that lack edges, with lists for one kind alone."""
