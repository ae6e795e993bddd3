"""The edges of a group on a GPU: kernels of group.py as one primitive.

Axes: as in forward.py.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import ShapedArray

from opp_darts_jax.operations.accelerator import group, products
from opp_darts_jax.operations.accelerator.edges import Edges
from opp_darts_jax.operations.accelerator.forward import grids
from opp_darts_jax.operations.accelerator.parts import edge_parts
from opp_darts_jax.operations.accelerator.primitives import (
  GroupKernels,
  Kernels,
  define_edges,
)
from opp_darts_jax.operations.accelerator.shares import Shares, shares_of
from opp_darts_jax.operations.depthwise import out_size
from opp_darts_jax.operations.norm import wide_type
from opp_darts_jax.operations.target import matmul_precision

Moments = tuple[jax.Array, jax.Array]  # Mean and biased variance, (N, C).


class Stacks(NamedTuple):
  """Weights of all edges of a cell, as the lists' copies number them.

  Attributes:
    depthwise: of first units, (n, T, C), filled up with 0.
    pointwise: likewise, (n, C, C).
    second_depthwise: of second units.
    second_pointwise: likewise.
  """

  depthwise: Any
  pointwise: Any
  second_depthwise: Any
  second_pointwise: Any


class Plain(NamedTuple):
  """Images as these kernels read them: as they are.

  Attributes:
    shape: of a list of them, (S, B, H, W, C).
    stride: of what reads them.
  """

  shape: tuple[int, ...]
  stride: int

  @property
  def behind(self) -> 'Plain':
    """Of what the edges give, for others of stride 1."""
    count, batch, *size, channels = self.shape
    out = (out_size(n, self.stride) for n in size)
    return Plain((count, batch, *out, channels), 1)

  @property
  def pixels(self) -> int:
    """Of what the edges give, that a norm sees."""
    return math.prod(self.behind.shape[1:4]) // shares_of(self.shape[1]).apart

  def enter(self, x: jax.Array) -> jax.Array:
    """From (n, B, H, W, C)."""
    return x

  def leave(self, x: jax.Array) -> jax.Array:
    """To (n, B, H, W, C)."""
    return x

  def join(self, nodes: Sequence[jax.Array]) -> jax.Array:
    """The channels of several, (B, H, W, n * C)."""
    return jnp.concatenate(nodes, -1)


def run_edges(
  edges: Edges,
  x: jax.Array,
  stacks: Stacks,
  weights: jax.Array,
  mask: jax.Array,
  form: Plain | None = None,
) -> tuple[jax.Array, Moments, Moments | None]:
  """Runs the edges of a group, normalised by the moments of the batch.

  Args:
    edges: they.
    x: their sources, (S, B, H, W, C).
    stacks: the weights; float32 at least.
    weights: of the operations, (P,).
    mask: bool (P,), which of them are active; what is not is not computed.
    form: of the sources.

  Returns:
    What reaches the destinations, (D, B, H', W', C), and the moments of what
    the copies of both lists gave, which pass no gradient on; means over what is
    normalised by itself.
  """
  del form
  out, _, *rest = _fused_p.bind(
    x, *stacks, weights, mask.astype(jnp.int32), lists=edges, **_how(x)
  )
  apart = shares_of(x.shape[1]).apart

  def means(mean, var):
    if apart == 1:
      return mean, var
    return tuple(t.reshape(len(t), apart, -1).mean(1) for t in (mean, var))

  second = means(*rest[-2:]) if edges.second else None
  return out, means(*rest[:2]), second


def evaluate_edges(
  edges: Edges,
  x: jax.Array,
  stacks: Stacks,
  weights: jax.Array,
  mask: jax.Array,
  moments: tuple[Moments, Moments | None],
  form: Plain | None = None,
) -> jax.Array:
  """The same, normalised by moments that are given."""
  del form
  args = x, *stacks, weights, mask.astype(jnp.int32)
  return _parts(*args, lists=edges, moments=moments, **_how(x))


def _how(x: jax.Array) -> dict[str, Any]:
  """What the primitives, which are lowered later, know of where they run."""
  return {
    'precision': matmul_precision(),
    'shares': shares_of(x.shape[1]),
  }


def _parts(*args: Any, **params: Any) -> jax.Array:
  return edge_parts(*args, run=products.of_share, **params)


def _result_shapes(
  x: Any, *args: Any, lists: Edges, shares: Shares, **params: Any
) -> list[ShapedArray]:
  del args, params
  shape, wide = x.shape, wide_type(x)
  _, grid = grids(lists.first, shape)
  images, channels = grid.shape, shape[-1]

  def moments(copies):
    own = len(copies.copies), channels * shares.apart
    return [ShapedArray(own, wide)] * 2

  def rows(count, dtype=x.dtype):
    return ShapedArray((count, *images, channels), dtype)

  found = [rows(lists.destinations), rows(len(lists.first.copies))]
  found += moments(lists.first)
  if lists.first.num_max:
    found.append(rows(lists.first.num_max, jnp.int8))
  if lists.second:
    found.append(rows(len(lists.second.copies)))
    found += moments(lists.second)
  return found


_fused_p = define_edges(
  'edges', Kernels(_result_shapes, group.forward, group.gradient, _parts)
)
KERNELS = GroupKernels(Plain, lambda stacks: stacks, run_edges, evaluate_edges)
