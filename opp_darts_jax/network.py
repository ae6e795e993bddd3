"""The evaluation network of a genotype: the same operations, one an edge.

As in DARTS (Liu et al., ICLR 2019, section 3.2): normalisations have scales
and biases, pools stand bare, and drop-path (Larsson et al., "FractalNet",
ICLR 2017) thins the edges out while training.
"""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from opp_darts_jax.errors import UserError
from opp_darts_jax.genotype import Edge, Genotype
from opp_darts_jax.layers import (
  Classifier,
  ConvNorm,
  Preprocess,
  cell_plan,
  reduction_layers,
)
from opp_darts_jax.norm import BatchNorm, Measured, Normalised
from opp_darts_jax.primitives import PRIMITIVES
from opp_darts_jax.space import SKIP


def edge_stride(source: int, reduction: bool) -> int:
  """The stride of an edge: reduction cells halve what leaves their inputs."""
  return 2 if reduction and source < 2 else 1


def drop_path_factors(
  key: jax.Array, rate: float | jax.Array, shape: tuple[int, ...]
) -> jax.Array:
  """What outputs are multiplied by: 0 at this rate, else 1 / (1 - rate)."""
  keep = 1.0 - jnp.asarray(rate, jnp.float32)
  return jax.random.bernoulli(key, keep, shape) / keep


class Operation(nn.Module):
  """An operation on one edge; `noise` draws from the stream 'noise'.

  Attributes:
    operation: its name.
    channels: of input and output.
    stride: of both axes.
  """

  operation: str
  channels: int
  stride: int

  @nn.compact
  def __call__(
    self, x: jax.Array, train: bool, factors_B: jax.Array | None = None
  ) -> jax.Array:
    """(B, H, W, C) -> (B, H/s, W/s, C), times drop-path's factors."""
    primitive = PRIMITIVES[self.operation]
    weights = self.param(
      'weights', primitive.init, (), self.channels, self.stride
    )
    weights = jax.tree.map(lambda w: w.astype(x.dtype), weights)
    key = self.make_rng('noise') if self.operation == 'noise' else None

    def norm(measured: Measured, i: int) -> Normalised:
      return Normalised.unchanged(BatchNorm(name=f'norm{i}')(measured, train))

    y = primitive.apply(weights, x, norm, self.stride, key)
    identity = self.operation == SKIP and self.stride == 1
    if factors_B is None or identity:
      return y
    return y * factors_B[:, None, None, None].astype(y.dtype)


class Cell(nn.Module):
  """A cell of a genotype.

  Attributes:
    edges: two for each intermediate node.
    concat: the nodes whose concatenation is the output.
    channels: of every node.
    reduction: whether it halves the resolution.
    after_reduction: whether the cell before does.
  """

  edges: tuple[Edge, ...]
  concat: tuple[int, ...]
  channels: int
  reduction: bool
  after_reduction: bool

  @nn.compact
  def __call__(
    self,
    s0: jax.Array,
    s1: jax.Array,
    train: bool,
    factors_EB: jax.Array | None = None,
  ) -> jax.Array:
    """The outputs of the two cells before -> (B, H, W, len(concat) * C)."""
    preprocess = Preprocess(
      self.channels, self.after_reduction, name='preprocess'
    )
    states = list(preprocess(s0, s1, train))

    def edge(i: int) -> jax.Array:
      operation, source = self.edges[i]
      stride = edge_stride(source, self.reduction)
      apply = Operation(operation, self.channels, stride, name=f'edge{i}')
      factors_B = None if factors_EB is None else factors_EB[i]
      return apply(states[source], train, factors_B)

    for i in range(0, len(self.edges), 2):
      states.append(edge(i) + edge(i + 1))
    return jnp.concatenate([states[node] for node in self.concat], -1)


class AuxiliaryHead(nn.Module):
  """A second classifier, two thirds through the network, that helps training.

  Attributes:
    classes: number of logits.
    imagenet: whether it is that of the ImageNet network, whose pool has a
      smaller stride, and which lacks the second normalisation.
  """

  classes: int
  imagenet: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """(B, H, W, C), rectified, H and W at least 8 -> logits (B, classes).

    What remains of 8 x 8 pixels, as images of 32 x 32 give, is one; of larger
    maps it is several, which are averaged. ImageNet's takes 7 x 7.

    Raises:
      UserError: if the map is too small.
    """
    stride = 2 if self.imagenet else 3
    least = 5 + stride
    if min(x.shape[1:3]) < least:
      raise UserError(
        f'The auxiliary head needs a feature map of at least {least} x {least} '
        f'pixels, but got {x.shape[1]} x {x.shape[2]}; set auxiliary=False or '
        'use larger images.'
      )
    x = nn.avg_pool(x, (5, 5), (stride, stride))
    x = nn.relu(ConvNorm(128, name='conv0')(x, train))
    last = ConvNorm(768, size=2, norm=not self.imagenet, name='conv1')
    x = nn.relu(last(x, train))
    return Classifier(self.classes, name='classifier')(x)


class Network(nn.Module):
  """The network of a genotype.

  Attributes:
    genotype: the cells.
    layers: number of cells; those at layers // 3 and 2 * layers // 3 are
      reduction cells.
    channels: of the first cell.
    classes: number of logits.
    auxiliary: whether it has an auxiliary head.
    imagenet: whether it is meant for large images: three convolutions before
      the cells divide the resolution by eight, where for small ones, such as
      CIFAR's, one convolution keeps it.
    compute: type of what the cells compute, such as 'bfloat16'; '' is that of
      the images. Weights, statistics and logits are float32 at least.
  """

  genotype: Genotype
  layers: int
  channels: int
  classes: int
  auxiliary: bool = False
  imagenet: bool = False
  compute: str = ''

  @nn.compact
  def __call__(
    self,
    images: jax.Array,
    train: bool,
    drop_path: float | jax.Array = 0.0,
  ) -> tuple[jax.Array, jax.Array | None]:
    """Classifies images.

    Args:
      images: (B, H, W, channels of the images), normalised.
      train: whether norms use the batch's statistics and 'batch_stats' moves.
      drop_path: probability, in training, with which an edge is dropped for an
        image; identities never are. Draws from the stream 'drop_path' unless
        it is the number 0.

    Returns:
      Logits (B, classes), and those of the auxiliary head, in training only.
    """
    factors_LEB = None
    if train and not (isinstance(drop_path, (int, float)) and drop_path == 0):
      # One draw for all edges: a stream for each takes long to compile.
      shape = (self.layers, len(self.genotype.normal), len(images))
      key = self.make_rng('drop_path')
      factors_LEB = drop_path_factors(key, drop_path, shape)
    auxiliary_logits = None
    images = images.astype(self.compute or images.dtype)
    s0, s1 = self._stem(images, train)
    plan = cell_plan(self.layers, self.channels, self.imagenet)
    for layer, (channels, reduction, after_reduction) in enumerate(plan):
      cell = Cell(
        *self._cell(reduction),
        channels,
        reduction,
        after_reduction,
        name=f'cell{layer}',
      )
      factors_EB = None if factors_LEB is None else factors_LEB[layer]
      s0, s1 = s1, cell(s0, s1, train, factors_EB)
      head_here = self.auxiliary and layer == reduction_layers(self.layers)[1]
      if head_here and (train or self.is_initializing()):
        # The published head rectifies its input in place, which matters where
        # no other cell follows to do it: up to 3 layers, in training alone.
        s1 = nn.relu(s1)
        head = AuxiliaryHead(self.classes, self.imagenet, name='auxiliary_head')
        auxiliary_logits = head(s1, train)
    logits = Classifier(self.classes, name='classifier')(s1)
    return logits, auxiliary_logits if train else None

  def _stem(
    self, images: jax.Array, train: bool
  ) -> tuple[jax.Array, jax.Array]:
    """The inputs of the first cell."""
    if not self.imagenet:
      stem = ConvNorm(3 * self.channels, size=3, padding=1, name='stem')
      s1 = stem(images, train)
      return s1, s1
    halve = functools.partial(ConvNorm, size=3, stride=2, padding=1)
    x = nn.relu(halve(self.channels // 2, name='stem0')(images, train))
    s0 = halve(self.channels, name='stem1')(x, train)
    return s0, halve(self.channels, name='stem2')(nn.relu(s0), train)

  def _cell(self, reduction: bool) -> tuple[tuple[Edge, ...], tuple[int, ...]]:
    if reduction:
      return self.genotype.reduce, self.genotype.reduce_concat
    return self.genotype.normal, self.genotype.normal_concat


def count_weights(variables: Any) -> int:
  """How many weights there are in 'params', of arrays or of their shapes."""
  leaves = jax.tree.leaves(variables['params'])
  return sum(math.prod(leaf.shape) for leaf in leaves)
