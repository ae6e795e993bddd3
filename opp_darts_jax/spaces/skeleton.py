"""Skeletons: what puts cells together to a network, and a supernet alike.

The functions of a skeleton are called inside a compact method of a Flax module
and make sub-modules of it, by fixed names.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax

from opp_darts_jax.operations.entries import Entry
from opp_darts_jax.operations.onnx_graph import Graph

Arrays = tuple[jax.Array, ...]
Names = tuple[str, ...]
BORDER = [1, 1, 1, 1]  # A pixel on each side, as ONNX says it.


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


class SkeletonExport(NamedTuple):
  """A skeleton's tensors in PyTorch, and its nodes in ONNX.

  The prefix of a part is `cells.NUMBER`; nodes read tensors by the names.

  Attributes:
    edge: what stands between the prefix and the number of an edge.
    stem_names: imagenet -> the tensors of the stem.
    input_names: (prefix, part, affine) -> those of a cell's inputs.
    block_names: (prefix, part) -> those of a block.
    head_names: those of the head; the classifier's is 'classifier'.
    auxiliary_names: imagenet -> those of the auxiliary head.
    stem_nodes: (graph, images, imagenet) -> what the first cell takes.
    input_nodes: (graph, prefix, part, outputs) -> the input nodes of a cell.
    block_node: (graph, prefix, part, x) -> what a block gives.
    last_node: (graph, x) -> what is pooled and classified.
  """

  edge: str
  stem_names: Callable[[bool], Iterator[Entry]]
  input_names: Callable[[str, Part, bool], Iterator[Entry]]
  block_names: Callable[[str, Part], Iterator[Entry]]
  head_names: Callable[[], Iterator[Entry]]
  auxiliary_names: Callable[[bool], Iterator[Entry]]
  stem_nodes: Callable[[Graph, str, bool], Names]
  input_nodes: Callable[[Graph, str, Part, Names], list[str]]
  block_node: Callable[[Graph, str, Part, str], str]
  last_node: Callable[[Graph, str], str]


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
    export: what it is in PyTorch and ONNX; None if it cannot be exported.
  """

  plan: Callable[[int, int, bool], tuple[Part, ...]]
  stem: Callable[[jax.Array, int, bool, bool], Arrays]
  inputs: Callable[[Arrays, Part, bool, bool], Arrays]
  block: Callable[[jax.Array, Part, bool], jax.Array]
  head: Callable[[jax.Array, int, bool], jax.Array]
  auxiliary: bool = False
  imagenet: bool = False
  export: SkeletonExport | None = None


def reduction_layers(layers: int) -> tuple[int, int]:
  """Which cells are the first ones of the second and the last third."""
  return layers // 3, 2 * layers // 3


def no_block(x: jax.Array, part: Part, train: bool) -> jax.Array:
  """`Skeleton.block` where there are cells alone."""
  del part, train
  return x


def no_names(*args: object) -> Iterator[Entry]:
  """The tensors of what a skeleton does not have."""
  del args
  return iter(())


def same_node(graph: Graph, prefix: str, part: Part, x: str) -> str:
  """`SkeletonExport.block_node` where there are cells alone."""
  del graph, prefix, part
  return x
