"""Skeletons: what puts cells together to a network, and a supernet alike.

The functions of a skeleton are called inside a compact method of a Flax module
and make sub-modules of it, by fixed names.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax

from opp_darts_jax.operations.layers import Classifier, ConvNorm, Preprocess

Arrays = tuple[jax.Array, ...]


@dataclasses.dataclass(frozen=True)
class Part:
  """A cell, or a block between cells.

  Attributes:
    name: among the weights.
    kind: of the cell; '' for a block.
    channels: of a cell's nodes, or of what a block gives.
    reduction: whether it halves the resolution.
    after_reduction: whether the part before does.
  """

  name: str
  kind: str
  channels: int
  reduction: bool = False
  after_reduction: bool = False


class Skeleton(NamedTuple):
  """What surrounds the cells.

  Attributes:
    plan: (layers, channels, imagenet) -> the parts, in order; `layers` counts
      the cells, `channels` are the first one's.
    stem: (images (B, H, W, C), channels, imagenet, train) -> what the first
      cell has in place of the outputs of the cells before it, as many as a cell
      has inputs.
    inputs: (these outputs, part, affine, train) -> the input nodes of the cell;
      called in the cell.
    block: (x, part, train) -> what a part that is no cell gives.
    head: (x, classes, train) -> logits (B, classes).
    auxiliary: whether an auxiliary head fits it.
    imagenet: whether it has a form for large images.
  """

  plan: Callable[[int, int, bool], tuple[Part, ...]]
  stem: Callable[[jax.Array, int, bool, bool], Arrays]
  inputs: Callable[[Arrays, Part, bool, bool], Arrays]
  block: Callable[[jax.Array, Part, bool], jax.Array]
  head: Callable[[jax.Array, int, bool], jax.Array]
  auxiliary: bool = False
  imagenet: bool = False


def reduction_layers(layers: int) -> tuple[int, int]:
  """Which cells are the first ones of the second and the last third."""
  return layers // 3, 2 * layers // 3


def _darts_plan(
  layers: int, channels: int, imagenet: bool = False
) -> tuple[Part, ...]:
  """Reduction cells at a third and two thirds; they double the channels."""
  parts = []
  after_reduction = imagenet  # Its two stems differ in resolution.
  for layer in range(layers):
    reduction = layer in reduction_layers(layers)
    channels *= 1 + reduction
    kind = 'reduce' if reduction else 'normal'
    parts.append(
      Part(f'cell{layer}', kind, channels, reduction, after_reduction)
    )
    after_reduction = reduction
  return tuple(parts)


def _darts_stem(
  images: jax.Array, channels: int, imagenet: bool, train: bool
) -> Arrays:
  """One convolution; for large images three, which divide sides by eight."""
  if not imagenet:
    stem = ConvNorm(3 * channels, size=3, padding=1, name='stem')
    s1 = stem(images, train)
    return s1, s1
  halve = functools.partial(ConvNorm, size=3, stride=2, padding=1)
  x = nn.relu(halve(channels // 2, name='stem0')(images, train))
  s0 = halve(channels, name='stem1')(x, train)
  return s0, halve(channels, name='stem2')(nn.relu(s0), train)


def _darts_inputs(
  outputs: Arrays, part: Part, affine: bool, train: bool
) -> Arrays:
  preprocess = Preprocess(
    part.channels, part.after_reduction, affine, name='preprocess'
  )
  s0, s1 = outputs
  return preprocess(s0, s1, train)


def no_block(x: jax.Array, part: Part, train: bool) -> jax.Array:
  """`Skeleton.block` where there are cells alone."""
  del part, train
  return x


def _darts_head(x: jax.Array, classes: int, train: bool) -> jax.Array:
  del train
  return Classifier(classes, name='classifier')(x)


DARTS = Skeleton(
  _darts_plan,
  _darts_stem,
  _darts_inputs,
  no_block,
  _darts_head,
  auxiliary=True,
  imagenet=True,
)
"""Of DARTS (Liu et al., ICLR 2019, sections 2 and 3): each cell takes the
outputs of the two before it, brought to its channels and one resolution."""
