"""The evaluation network of a genotype: the same operations, one an edge.

As in DARTS (Liu et al., ICLR 2019, section 3.2): normalisations have scales
and biases, pools stand bare, and drop-path (Larsson et al., "FractalNet",
ICLR 2017) thins the edges out while training.
"""

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from opp_darts_jax.genotypes.genotype import Edge, Genotype
from opp_darts_jax.genotypes.space import SKIP
from opp_darts_jax.networks.stack import at, equal_cells, scan_cells
from opp_darts_jax.operations.layers import (
  AuxiliaryHead,
  Classifier,
  ConvNorm,
  Preprocess,
  cell_plan,
  reduction_layers,
)
from opp_darts_jax.operations.norm import BatchNorm, Measured, Normalised
from opp_darts_jax.operations.primitives import PRIMITIVES


def edge_stride(source: int, reduction: bool) -> int:
  """The stride of an edge: reduction cells halve what leaves their inputs."""
  return 2 if reduction and source < 2 else 1


def drop_path_factors(
  key: jax.Array, rate: float | jax.Array, shape: tuple[int, ...]
) -> jax.Array:
  """What outputs are multiplied by: 0 at this rate, else 1 / (1 - rate)."""
  keep = 1.0 - jnp.asarray(rate, jnp.float32)
  return jax.random.bernoulli(key, keep, shape) / keep


class Draws(NamedTuple):
  """What is random on an edge; on more, stacked on leading axes.

  Attributes:
    factors: (B,), of drop-path; None drops nothing.
    key: what `noise` draws from; None where there is none.
  """

  factors: jax.Array | None = None
  key: jax.Array | None = None


NO_DRAWS = Draws()


class Operation(nn.Module):
  """An operation on one edge.

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
    self, x: jax.Array, train: bool, draws: Draws = NO_DRAWS
  ) -> jax.Array:
    """(B, H, W, C) -> (B, H/s, W/s, C), times drop-path's factors."""
    primitive = PRIMITIVES[self.operation]
    weights = self.param(
      'weights', primitive.init, (), self.channels, self.stride
    )
    weights = jax.tree.map(lambda w: w.astype(x.dtype), weights)

    def norm(measured: Measured, i: int) -> Normalised:
      return Normalised.unchanged(BatchNorm(name=f'norm{i}')(measured, train))

    y = primitive.apply(weights, x, norm, self.stride, draws.key)
    identity = self.operation == SKIP and self.stride == 1
    if draws.factors is None or identity:
      return y
    return y * draws.factors[:, None, None, None].astype(y.dtype)


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
    draws: Draws = NO_DRAWS,
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
      return apply(states[source], train, at(draws, i))

    for i in range(0, len(self.edges), 2):
      states.append(edge(i) + edge(i + 1))
    return jnp.concatenate([states[node] for node in self.concat], -1)


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
    stack: whether equal cells are compiled as one. It changes speed alone: less
      time to compile, on CPU somewhat more for a step without `remat`.
    remat: whether gradients compute what is inside a cell once more instead of
      keeping it, which saves memory; on CPU in stacked cells alone, as the
      compiler undoes it elsewhere.
  """

  genotype: Genotype
  layers: int
  channels: int
  classes: int
  auxiliary: bool = False
  imagenet: bool = False
  compute: str = ''
  stack: bool = True
  remat: bool = False

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
    draws = self._draws(len(images), train, drop_path)
    auxiliary_logits = None
    images = images.astype(self.compute or images.dtype)
    s0, s1 = self._stem(images, train)
    for layers in self._groups((s0.shape[-1], s1.shape[-1])):
      s0, s1 = self._cells(layers, s0, s1, train, draws)
      head_here = self.auxiliary and reduction_layers(self.layers)[1] in layers
      if head_here and (train or self.is_initializing()):
        # The published head rectifies its input in place, which matters where
        # no other cell follows to do it: up to 3 layers, in training alone.
        s1 = nn.relu(s1)
        head = AuxiliaryHead(self.classes, self.imagenet, name='auxiliary_head')
        auxiliary_logits = head(s1, train)
    logits = Classifier(self.classes, name='classifier')(s1)
    return logits, auxiliary_logits if train else None

  def _draws(
    self, batch: int, train: bool, drop_path: float | jax.Array
  ) -> Draws:
    """What is random on every edge of every cell."""
    # One draw for all edges: a stream for each takes long to compile.
    edges = self.genotype.normal + self.genotype.reduce
    shape = (self.layers, len(self.genotype.normal))
    factors = key = None
    if train and not (isinstance(drop_path, (int, float)) and drop_path == 0):
      drop_key = self.make_rng('drop_path')
      factors = drop_path_factors(drop_key, drop_path, (*shape, batch))
    if any(operation == 'noise' for operation, _ in edges):
      key = jax.random.split(self.make_rng('noise'), shape)
    return Draws(factors, key)

  def _groups(self, inputs: tuple[int, int]) -> Iterator[range]:
    """The numbers of the cells that are compiled as one, by their inputs."""
    if not self.stack or self.is_initializing():
      return (range(layer, layer + 1) for layer in range(self.layers))
    cells = self.genotype
    concats = len(cells.normal_concat), len(cells.reduce_concat)
    return equal_cells(self._plan(), inputs, concats)

  def _cells(
    self,
    layers: range,
    s0: jax.Array,
    s1: jax.Array,
    train: bool,
    draws: Draws,
  ) -> tuple[jax.Array, jax.Array]:
    """Applies equal cells; returns the outputs of the last two."""
    channels, reduction, after_reduction = self._plan()[layers[0]]
    kind: type[Cell] = Cell
    if self.remat and not self.is_initializing():
      loop = len(layers) > 1  # Where nothing could undo it.
      kind = nn.remat(Cell, prevent_cse=not loop, static_argnums=(3,))
    make = functools.partial(
      kind, *self._cell(reduction), channels, reduction, after_reduction
    )
    names = [f'cell{layer}' for layer in layers]
    if len(names) == 1:
      cell = make(name=names[0])
      return s1, cell(s0, s1, train, at(draws, layers[0]))
    variables = [
      {part: self.variables[part][name] for part in ('params', 'batch_stats')}
      for name in names
    ]
    draws = at(draws, slice(layers.start, layers.stop))
    s0, s1, statistics = scan_cells(
      make(parent=None), variables, s0, s1, train, draws
    )
    if train:
      for name, value in zip(names, statistics):
        self.put_variable('batch_stats', name, value)
    return s0, s1

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

  def _plan(self) -> list[tuple[int, bool, bool]]:
    return list(cell_plan(self.layers, self.channels, self.imagenet))

  def _cell(self, reduction: bool) -> tuple[tuple[Edge, ...], tuple[int, ...]]:
    if reduction:
      return self.genotype.reduce, self.genotype.reduce_concat
    return self.genotype.normal, self.genotype.normal_concat


def count_weights(variables: Any) -> int:
  """How many weights there are in 'params', of arrays or of their shapes."""
  leaves = jax.tree.leaves(variables['params'])
  return sum(math.prod(leaf.shape) for leaf in leaves)
