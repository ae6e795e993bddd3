"""Edges that run together: those that leave nodes which are known together.

The inputs of a cell are one group, every other node is one of its own.

Axes: B batch, H W C, S sources, D destinations.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.supernet.edges import CellEdges, Phase, weigh


class Group(NamedTuple):
  """Edges of a phase that run together.

  Attributes:
    phase: of them.
    rows: of the phase's sources.
    fed: the phase's destinations that they feed.
    edges_SD: the edge from each source to each of these, -1 for none.
  """

  phase: Phase
  rows: tuple[int, ...]
  fed: tuple[int, ...]
  edges_SD: np.ndarray

  @property
  def sources(self) -> list[int]:
    """The nodes that they leave."""
    return [self.phase.sources[row] for row in self.rows]

  @property
  def destinations(self) -> list[int]:
    """The intermediate nodes that they reach, counted from 0."""
    return [self.phase.first + column for column in self.fed]


def groups_of(cell: CellEdges) -> list[Group]:
  """The groups of a cell, in the order in which their sources are known."""
  inputs = cell.graph.inputs
  found = []
  for phase in cell.phases:
    known = [i for i, source in enumerate(phase.sources) if source < inputs]
    others = [[i] for i, s in enumerate(phase.sources) if s >= inputs]
    for rows in [known, *others] if known else others:
      fed = np.flatnonzero((phase.edges_SD[rows] >= 0).any(0))
      edges_SD = phase.edges_SD[rows][:, fed]
      found.append(Group(phase, tuple(rows), tuple(fed.tolist()), edges_SD))
  return found


class Images(NamedTuple):
  """Images as kernels read them.

  Attributes:
    x: a list of them.
    form: theirs, as of `primitives.GroupKernels`.
  """

  x: jax.Array
  form: Any

  @classmethod
  def of(cls, x: jax.Array, form_of: Any, stride: int) -> 'Images':
    """Of (n, B, H, W, C) that are read at a stride."""
    form = form_of(x.shape, stride)
    return cls(form.enter(x), form)

  @property
  def plain(self) -> jax.Array:
    """(n, B, H, W, C)."""
    plain: jax.Array = self.form.leave(self.x)
    return plain


def run_groups(
  cell: CellEdges,
  inputs: tuple[jax.Array, ...],
  groups: list[Group],
  run: Callable[[int, Images], jax.Array],
  form_of: Callable[[tuple[int, ...], int], Any],
) -> jax.Array:
  """Runs groups one after the other.

  Args:
    cell: whose they are.
    inputs: its input nodes, (B, H, W, C) each.
    groups: of the cell.
    run: (number of a group, its sources) -> a list of what its edges carry to
      its destinations, in the form behind that of the sources; of the channels
      that operations see.
    form_of: of `primitives.GroupKernels`.

  Returns:
    The cell's output, (B, H, W, output nodes * C).
  """
  nodes = list(inputs)
  first = len(nodes)
  sums: list[list[jax.Array]] = [[] for _ in range(cell.nodes)]
  beside: list[list[jax.Array]] = [[] for _ in range(cell.nodes)]
  inner: Any = None  # The form of intermediate nodes.

  def complete(count):
    while len(nodes) < count:
      arrived = len(nodes) - first
      node = functools.reduce(jnp.add, sums[arrived])
      if cell.partial is not None:
        rest = functools.reduce(jnp.add, beside[arrived])
        node = cell.partial.join(inner.leave(node[None])[0], rest)
      nodes.append(node)

  for number, group in enumerate(groups):
    complete(group.sources[-1] + 1)
    x, stride = jnp.stack([nodes[s] for s in group.sources]), group.phase.stride
    if cell.partial is not None:
      x, rest = cell.partial.split(x)
      for destination, y in zip(
        group.destinations, _run_beside(cell, group, rest)
      ):
        beside[destination].append(y)
    if cell.partial is not None or group.sources[0] < first:
      images = Images.of(x, form_of, stride)
    else:
      images = Images(x, inner)
    inner = images.form.behind
    for destination, y in zip(group.destinations, run(number, images)):
      sums[destination].append(y)
  complete(first + cell.nodes)
  output = [nodes[first + i] for i in cell.output]
  if cell.partial is not None:
    return jnp.concatenate(output, -1)
  joined: jax.Array = inner.join(output)
  return joined


def _run_beside(cell: CellEdges, group: Group, rest: jax.Array) -> jax.Array:
  """What passes beside the operations, (D, B, H, W, C'), by edge."""
  partial, stride = cell.partial, group.phase.stride
  assert partial is not None
  weights_SD = cell.edge_weights(group.edges_SD)
  passed = jax.vmap(lambda r: partial.beside(r, stride))(rest)
  return weigh(weights_SD, passed).astype(rest.dtype)
