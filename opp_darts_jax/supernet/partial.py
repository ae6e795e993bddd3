"""Operations on a part of the channels of every node.

The others pass beside them, weighted by the edge. What an edge gives is linear
in both parts, so that a node is put together once, from the sums of its edges.
"""

import dataclasses
from collections.abc import Callable

import jax


@dataclasses.dataclass(frozen=True)
class PartialChannels:
  """Which channels operations see, and what becomes of the others.

  Attributes:
    channels: of a node -> how many of them operations see.
    split: x (..., C) -> what operations see, and the rest.
    beside: (rest (B, H, W, C'), stride) -> what passes beside them,
      (B, H/s, W/s, C').
    join: (sum over edges of the operations, sum of what passed) -> the node
      (..., C).
  """

  channels: Callable[[int], int]
  split: Callable[[jax.Array], tuple[jax.Array, jax.Array]]
  beside: Callable[[jax.Array, int], jax.Array]
  join: Callable[[jax.Array, jax.Array], jax.Array]
