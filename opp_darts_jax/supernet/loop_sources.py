"""What leaves the sources of a cell's edges, for the loops of loop.py.

Axes: B batch, H W C, E edges, S sources, D destinations, K operations.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from opp_darts_jax.operations.cpu import (
  mixture,
  mixture_parts,
  mixture_primitives,
  side_by_side,
)
from opp_darts_jax.operations.gate import gated_operation
from opp_darts_jax.operations.operation import Operation
from opp_darts_jax.operations.target import kernels_serve
from opp_darts_jax.supernet.edges import (
  CellEdges,
  CellOperation,
  Phase,
  Statistics,
  take_copies,
)


@dataclasses.dataclass(frozen=True)
class Sources:
  """The sources of a phase, and how the operations on its edges are run.

  Attributes:
    cell: what its edges have.
    phase: the edges.
    members: its operations.
    images: that lie side by side (side_by_side.py) in the sums over edges.
  """

  cell: CellEdges
  phase: Phase
  members: '_Members'
  images: int

  @property
  def mixed(self) -> tuple[Operation, ...]:
    """The operations that one kernel runs."""
    return tuple(o.operation for o in self.members.mixed)

  @property
  def mixed_columns(self) -> np.ndarray:
    """Theirs of the tables."""
    return np.array([o.column for o in self.members.mixed], int)

  def xs(self) -> dict[str, Any]:
    """What belongs to each source, (S, ...)."""
    cell, phase, members = self.cell, self.phase, self.members
    exists_SD = phase.edges_SD >= 0
    edges_SD = np.maximum(phase.edges_SD, 0)
    weights = jnp.where(exists_SD[..., None], cell.weights_EK[edges_SD], 0.0)
    xs: dict[str, Any] = {
      'weights': weights,
      'active': exists_SD[..., None] & cell.mask_EK[edges_SD],
      'params': _copies(cell.params, phase, members.single),
      'running': _copies(cell.running, phase, members.single),
      'pooled': _copies(cell.running, phase, members.pools),
    }
    if members.mixed:
      xs |= self._mixed()
    keys = cell.keys(edges_SD.ravel())
    if keys is not None:
      xs['key'] = keys.reshape(edges_SD.shape)
    return xs

  def _mixed(self) -> dict[str, Any]:
    """What the kernel that runs several operations is given, for each edge."""
    cell, phase = self.cell, self.phase
    copies, dtype = phase.edges_SD.shape, cell.weights_EK.dtype
    params, averages = [], []
    for o in self.members.mixed:
      # What is shared has a row for a source.
      rows = np.broadcast_to(o.slots(phase).T, copies[::-1]).T.clip(0)
      if not o.shared(phase):
        params.append(take_copies(cell.params[o.name], rows))
      if o.norms(phase) and not cell.train:
        averages.append(take_copies(cell.running[o.name], rows))
    return {
      'mixed': mixture.pack(params, copies, dtype),
      'given': mixture.pack_moments(averages, copies, dtype),
    }

  def add(
    self, sums: jax.Array, start: jax.Array, xs: Any
  ) -> tuple[jax.Array, dict[str, Any]]:
    """Adds what the edges that leave a source carry to the nodes they feed.

    Args:
      sums: of the nodes; the last D are fed.
      start: the source, (B, H, W, C), or its number among the sums.
      xs: what belongs to it.

    Returns:
      The new sums, and statistics.
    """
    inside = start.ndim == 0
    statistics: dict[str, Any] = {}
    if self.members.alone:
      x = side_by_side.take(sums[start], self.images) if inside else start
      alone, statistics = _run_source(
        self.cell, self.phase, self.members, x, xs
      )
      alone = side_by_side.put(alone, self.images)
      sums = mixture_parts.add_to_last(sums, alone)
    if self.members.mixed:
      sums, statistics['mixed'] = mixture.add_edges(
        self.mixed,
        sums,
        start if inside else side_by_side.put(start, self.images),
        xs['active'][:, self.mixed_columns],
        xs['weights'][:, self.mixed_columns],
        xs['mixed'],
        xs['given'],
        self.phase.stride,
        self.images,
      )
    return sums, statistics

  def collect(
    self, batches: dict[str, Any], sums: jax.Array, to: Statistics
  ) -> None:
    """Adds statistics of all the sources to those of the cell's operations.

    In training, where running averages move.
    """
    if not self.cell.train:
      return
    batches = dict(batches)
    if self.members.mixed:
      mixed = mixture.statistics(
        self.mixed,
        self.phase.stride,
        batches.pop('mixed'),
        sums,
        self.images,
      )
      batches |= {o.name: b for o, b in zip(self.members.mixed, mixed)}
    for o in self.cell.operations:
      if batches.get(o.name):
        rows = o.slots(self.phase).ravel()
        own = jax.tree.map(_flatten_copies, batches[o.name])
        to.setdefault(o.name, []).append((rows, own))


def make_sources(cell: CellEdges, sums: jax.Array) -> list[Sources]:
  """The sources of each phase, of sums (nodes, B, H, W, C).

  Images lie side by side if that fills vectors, and if the kernel alone reads
  the sums before the last source: else they would be put there again and again.
  """
  members = [_members(cell, phase, sums) for phase in cell.phases]
  images = side_by_side.fitting(
    sums.shape[1], sums.shape[-1], sums.dtype.itemsize
  )
  for phase, own in zip(cell.phases, members):
    if not own.mixed or (own.alone and phase.stride == 1):
      images = 1
  return [
    Sources(cell, phase, own, images)
    for phase, own in zip(cell.phases, members)
  ]


class _Members(NamedTuple):
  """The operations of a phase, by how they are run.

  Attributes:
    mixed: all of a source's edges by one kernel.
    pools: once a source.
    identities: not at all.
    single: edge by edge.
  """

  mixed: list[CellOperation]
  pools: list[CellOperation]
  identities: list[CellOperation]
  single: list[CellOperation]

  @property
  def alone(self) -> bool:
    """Whether some are not run by the kernel."""
    return bool(self.pools or self.identities or self.single)


def _members(cell: CellEdges, phase: Phase, sums: jax.Array) -> _Members:
  members = _Members([], [], [], [])
  kernels = kernels_serve(sums, cell.weights_EK)
  for o in cell.operations:
    if not o.present(phase):
      continue
    if kernels and mixture_primitives.knows(o.operation, phase.stride):
      kind = members.mixed
    elif o.operation.identity(phase.stride):
      kind = members.identities
    elif o.shared(phase):
      kind = members.pools
    else:
      kind = members.single
    kind.append(o)
  return members


def _copies(stacks: Any, phase: Phase, members: list[CellOperation]) -> Any:
  """{operation: its copies by source and, unless shared, destination}."""
  return {
    o.name: take_copies(stacks[o.name], np.maximum(o.slots(phase), 0))
    for o in members
  }


def _run_source(
  cell: CellEdges, phase: Phase, members: _Members, x: jax.Array, xs: Any
) -> tuple[jax.Array, dict[str, Any]]:
  """What the edges that leave x carry, (D, B, H', W', C), and statistics."""
  outputs = {o.column: x for o in members.identities}
  statistics: dict[str, Any] = {}
  one = jnp.ones_like(xs['weights'][0, 0])
  for o in members.pools:
    pool = gated_operation(o.operation, phase.stride, cell.train)
    active = xs['active'][:, o.column].any()
    outputs[o.column], statistics[o.name] = pool(
      active, one, {}, xs['pooled'][o.name], x, None
    )
  # As a product of matrices, or the weights' gradients were slow reductions;
  # in float32, as `weigh`.
  sums: Any = sum(
    jnp.tensordot(xs['weights'][:, k], y, 0, precision='highest')
    for k, y in outputs.items()
  )
  if members.single:
    edge_body = functools.partial(_run_edge, cell, phase, members.single, x)
    names = ('weights', 'active', 'params', 'running', 'key')
    edge_xs = {name: xs[name] for name in names if name in xs}
    _, (singles, batch) = lax.scan(edge_body, None, edge_xs)
    sums += singles
    statistics |= batch
  return sums, statistics


def _run_edge(
  cell: CellEdges,
  phase: Phase,
  operations: list[CellOperation],
  x: jax.Array,
  carry: None,
  xs: Any,
) -> tuple[None, tuple[jax.Array, dict[str, Any]]]:
  """The weighted sum of an edge's operations, and their statistics."""
  y: Any = 0.0
  statistics = {}
  for o in operations:
    apply = gated_operation(o.operation, phase.stride, cell.train)
    z, statistics[o.name] = apply(
      xs['active'][o.column],
      xs['weights'][o.column],
      xs['params'][o.name],
      xs['running'][o.name],
      x,
      xs.get('key'),
    )
    y += z
  return carry, (y, statistics)


def _flatten_copies(statistic: jax.Array) -> jax.Array:
  return statistic.reshape(-1, *statistic.shape[-2:])
