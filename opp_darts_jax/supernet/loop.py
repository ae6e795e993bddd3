"""The edges of a cell as loops, for CPU.

One loop over the source nodes around one loop over the nodes that each source
feeds, whatever their number: the program holds every operation once a cell,
forward and backward, and what an edge computes stays in the caches. Where it
can be built, one kernel runs all of a source's edges (mixture.py), and most
cells have no inner loop. Else what needs the source alone (pools with their
norm, identities) is computed once a source. In the backward pass an operation
recomputes its forward pass, which is faster on machines bound by memory and
keeps no activation but the nodes.

Axes: B batch, H W C, E edges, S sources, D destinations.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from opp_darts_jax.operations.cpu import mixture, mixture_primitives
from opp_darts_jax.operations.depthwise import out_size
from opp_darts_jax.operations.gate import gated_operation
from opp_darts_jax.operations.target import kernels_serve
from opp_darts_jax.supernet.edges import (
  CellEdges,
  CellOperation,
  Phase,
  Statistics,
  take_copies,
)


def run_edges(
  cell: CellEdges, inputs: tuple[jax.Array, ...]
) -> tuple[jax.Array, Statistics]:
  """The cell's input nodes, (B, H, W, C) each -> its output."""
  cell = cell.rounded(inputs[0].dtype)
  partial = cell.partial
  stacked = jnp.stack(inputs)
  stride = cell.phases[0].stride
  count, *size, channels = inputs[0].shape
  size = [out_size(n, stride) for n in size]

  def zeros(channels):
    return jnp.zeros((cell.nodes, count, *size, channels), stacked.dtype)

  if partial is None:
    states = _States(zeros(channels))
    if stride == 1:
      states = _States(jnp.concatenate([stacked, states.sums]))
  else:
    seen = partial.channels(channels)
    states = _States(zeros(seen), zeros(channels - seen))
  statistics: Statistics = {}
  for phase in cell.phases:
    states, batch = _run_phase(cell, phase, states, stacked)
    for name, of_phase in batch.items():
      statistics.setdefault(name, []).append(of_phase)
  nodes = states.sums[-cell.nodes :]
  if partial is not None:
    assert states.beside is not None
    nodes = jax.vmap(partial.join)(nodes, states.beside)
  output = [nodes[i] for i in cell.output]
  return jnp.concatenate(output, -1), statistics


class _States(NamedTuple):
  """Of nodes so far, (nodes, B, H, W, C) each; destinations come last.

  Attributes:
    sums: over edges, of what operations give; with the inputs first where they
      have the same resolution and operations see all channels.
    beside: over edges, of what passes beside operations.
  """

  sums: jax.Array
  beside: jax.Array | None = None


def _run_phase(
  cell: CellEdges, phase: Phase, states: _States, inputs: jax.Array
) -> tuple[_States, Any]:
  """Adds what the phase's edges carry to their destination nodes.

  Args:
    cell: what its edges have.
    phase: the edges.
    states: of the nodes so far.
    inputs: the cell's input nodes, (inputs, B, H, W, C).

  Returns:
    The new states, and {operation: (copies, their statistics)}.
  """
  # States lack the inputs where these are of another form.
  lacking = cell.graph.inputs + cell.nodes - len(states.sums)
  outside = phase.stride == 2 or cell.partial is not None
  exists_SD = phase.edges_SD >= 0
  edges_SD = np.maximum(phase.edges_SD, 0)
  members = _members(cell, phase, states.sums)
  mixed = tuple(o.operation for o in members.mixed)
  mixed_columns = np.array([o.column for o in members.mixed])

  def source_body(states, xs):
    sums, beside = states
    source: Any = xs['state']
    if outside:
      source = _source(cell, phase, states, inputs, xs)
    if cell.partial is not None:
      source, rest = cell.partial.split(source)
      passed = cell.partial.beside(rest, phase.stride)
      passed = jnp.tensordot(xs['edge_weights'], passed, 0, precision='highest')
      beside = mixture_primitives.add_to_last(beside, passed)
    statistics: dict[str, Any] = {}
    if members.alone:
      x = source if outside else sums[source]
      alone, statistics = _run_source(cell, phase, members, x, xs)
      sums = mixture_primitives.add_to_last(sums, alone)
    if members.mixed:
      sums, statistics['mixed'] = mixture.add_edges(
        mixed,
        sums,
        source,
        xs['active'][:, mixed_columns],
        xs['weights'][:, mixed_columns],
        xs['mixed'],
        phase.stride,
      )
    return _States(sums, beside), statistics

  xs: dict[str, Any] = {
    'state': jnp.array(phase.sources) - lacking,
    'weights': jnp.where(exists_SD[..., None], cell.weights_EK[edges_SD], 0.0),
    'active': exists_SD[..., None] & cell.mask_EK[edges_SD],
    'params': _copies(cell.params, phase, members.single),
    'running': _copies(cell.running, phase, members.single),
    'pooled': _copies(cell.running, phase, members.pools),
  }
  if members.mixed:
    own = [o for o in members.mixed if not o.shared(phase)]
    xs['mixed'] = mixture.pack(
      list(_copies(cell.params, phase, own).values()), edges_SD.shape
    )
  if phase.stride == 2:
    xs['x'] = inputs
  if cell.partial is not None:
    xs['edge_weights'] = cell.edge_weights(phase.edges_SD)
  keys = cell.keys(edges_SD.ravel())
  if keys is not None:
    xs['key'] = keys.reshape(edges_SD.shape)
  if members.alone or outside:
    states, statistics = lax.scan(source_body, states, xs)
  else:
    sums, moments = mixture.add_sources(
      mixed,
      states.sums,
      xs['state'],
      xs['active'][..., mixed_columns],
      xs['weights'][..., mixed_columns],
      xs['mixed'],
    )
    states, statistics = _States(sums), {'mixed': moments}
  if members.mixed:
    batches = mixture.statistics(
      mixed, phase.stride, statistics.pop('mixed'), states.sums
    )
    statistics |= {o.name: b for o, b in zip(members.mixed, batches)}
  return states, {
    o.name: (
      o.slots(phase).ravel(),
      jax.tree.map(_flatten_copies, statistics[o.name]),
    )
    for o in cell.operations
    if statistics.get(o.name)
  }


def _source(
  cell: CellEdges, phase: Phase, states: _States, inputs: jax.Array, xs: Any
) -> jax.Array:
  """The node that a step's edges leave, (B, H, W, C), if no state is it."""
  if phase.stride == 2:
    return xs['x']
  partial = cell.partial
  assert partial is not None
  assert states.beside is not None
  at = jnp.maximum(xs['state'], 0)
  node = partial.join(states.sums[at], states.beside[at])
  if phase.sources[0] >= len(inputs):
    return node
  number = xs['state'] + len(inputs)
  input_node = inputs[jnp.minimum(number, len(inputs) - 1)]
  return jnp.where(number < len(inputs), input_node, node)


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


def _members(cell: CellEdges, phase: Phase, states: jax.Array) -> _Members:
  members = _Members([], [], [], [])
  kernels = cell.train and kernels_serve(states, cell.weights_EK)
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
