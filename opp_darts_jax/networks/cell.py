"""A cell of a network: one operation an edge, a node the sum of its edges."""

import functools
import operator
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from opp_darts_jax.genotypes.genotype import Cell
from opp_darts_jax.networks.stack import at
from opp_darts_jax.operations.norm import BatchNorm, Measured, Normalised
from opp_darts_jax.operations.operation import Operation, halved
from opp_darts_jax.operations.weights import param
from opp_darts_jax.spaces.skeleton import Arrays, Part
from opp_darts_jax.spaces.space import Space


class Draws(NamedTuple):
  """What is random on an edge; on more, stacked on leading axes.

  Attributes:
    factors: (B,), of drop-path; None drops nothing.
    key: what random operations draw from; None where there are none.
  """

  factors: jax.Array | None = None
  key: jax.Array | None = None


NO_DRAWS = Draws()


def drop_path_factors(
  key: jax.Array, rate: float | jax.Array, shape: tuple[int, ...]
) -> jax.Array:
  """What outputs are multiplied by: 0 at this rate, else 1 / (1 - rate)."""
  keep = 1.0 - jnp.asarray(rate, jnp.float32)
  return jax.random.bernoulli(key, keep, shape) / keep


def edge_stride(cell: Cell, source: int, part: Part) -> int:
  """The stride of an edge: reduction cells halve what leaves their inputs."""
  return 2 if part.reduction and source < cell.inputs else 1


class EdgeOperation(nn.Module):
  """An operation on one edge.

  Attributes:
    operation: in its form for networks.
    channels: of input and output.
    stride: of both axes.
  """

  operation: Operation
  channels: int
  stride: int

  @nn.compact
  def __call__(
    self, x: jax.Array, train: bool, draws: Draws = NO_DRAWS
  ) -> jax.Array:
    """(B, H, W, C) -> (B, H/s, W/s, C), times drop-path's factors."""
    operation = self.operation
    weights = param(
      self, 'weights', operation.init, (), self.channels, self.stride
    )
    weights = jax.tree.map(lambda w: w.astype(x.dtype), weights)

    def norm(measured: Measured, i: int) -> Normalised:
      return Normalised.unchanged(BatchNorm(name=f'norm{i}')(measured, train))

    y = operation.apply(weights, x, norm, self.stride, draws.key)
    if draws.factors is None or operation.identity(self.stride):
      return y
    return y * draws.factors[:, None, None, None].astype(y.dtype)


class NetworkCell(nn.Module):
  """A cell of a genotype, where a skeleton has it.

  Attributes:
    cell: of the genotype.
    part: of the skeleton.
    space: of the operations, and of the skeleton.
  """

  cell: Cell
  part: Part
  space: Space

  @nn.compact
  def __call__(
    self, outputs: Arrays, train: bool, draws: Draws = NO_DRAWS
  ) -> jax.Array:
    """The outputs of the parts before -> (B, H, W, output nodes * C)."""
    cell, part = self.cell, self.part
    states = list(self.space.skeleton.inputs(outputs, part, True, train))
    self.space.check_inputs(len(states))
    count, height, width, _ = states[0].shape
    size = halved((height, width), 1 + part.reduction)

    def edge(i: int) -> jax.Array:
      name, source, _ = cell.edges[i]
      apply = EdgeOperation(
        self.space.operation(name).in_network,
        part.channels,
        edge_stride(cell, source, part),
        name=f'edge{i}',
      )
      return apply(states[source], train, at(draws, i))

    for node in range(cell.inputs, cell.inputs + cell.nodes):
      into = [edge(i) for i, e in enumerate(cell.edges) if e.node == node]
      if into:
        states.append(functools.reduce(operator.add, into))
      else:
        zeros = jnp.zeros((count, *size, part.channels), states[0].dtype)
        states.append(zeros)
    return jnp.concatenate([states[node] for node in cell.output], -1)
