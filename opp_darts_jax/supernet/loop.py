"""The edges of a cell as loops, for CPU.

One loop over the source nodes around one loop over the nodes that each source
feeds, whatever their number: the program holds every operation once a cell,
forward and backward, and what an edge computes stays in the caches. Where it
can be built, one kernel runs all of a source's edges (mixture.py), and most
cells have no inner loop. Else what needs the source alone (pools with their
norm, identities) is computed once a source. In the backward pass an operation
recomputes its forward pass, which is faster on machines bound by memory and
keeps no activation but the nodes. Where nodes have few channels, the kernel
takes several images as one (side_by_side.py).

If operations see a part of the channels, sources come one after the other in
the program: in a loop, the gradients of all that they share would be added up
whole for each of them.

Axes: B batch, H W C, E edges, S sources, D destinations.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from opp_darts_jax.operations.cpu import mixture, side_by_side
from opp_darts_jax.operations.depthwise import out_size
from opp_darts_jax.supernet.edges import CellEdges, Statistics
from opp_darts_jax.supernet.loop_sources import Sources, make_sources


def run_edges(
  cell: CellEdges, inputs: tuple[jax.Array, ...]
) -> tuple[jax.Array, Statistics]:
  """The cell's input nodes, (B, H, W, C) each -> its output."""
  cell = cell.rounded(inputs[0].dtype)
  run = _run_whole if cell.partial is None else _run_partial
  nodes, statistics = run(cell, inputs)
  output = [nodes[i] for i in cell.output]
  return jnp.concatenate(output, -1), statistics


def _zeros(cell: CellEdges, x: jax.Array, channels: int) -> jax.Array:
  """Of the intermediate nodes, (nodes, B, H, W, channels), x an input."""
  stride = cell.phases[0].stride
  count, *size, _ = x.shape
  size = [out_size(n, stride) for n in size]
  return jnp.zeros((cell.nodes, count, *size, channels), x.dtype)


def _run_whole(
  cell: CellEdges, inputs: tuple[jax.Array, ...]
) -> tuple[jax.Array, Statistics]:
  """The intermediate nodes, if operations see all channels."""
  zeros = _zeros(cell, inputs[0], inputs[0].shape[-1])
  several = make_sources(cell, zeros)
  images = several[0].images
  # Sums over edges of what operations give; destinations come last.
  sums = jnp.zeros_like(side_by_side.put(zeros, images))
  stacked = jnp.stack(inputs)
  if cell.phases[0].stride == 1:
    sums = jnp.concatenate([side_by_side.put(stacked, images), sums])
  statistics: Statistics = {}
  for sources in several:
    sums, batches = _run_phase(sources, sums, stacked)
    sources.collect(batches, sums, statistics)
  return side_by_side.take(sums[-cell.nodes :], images), statistics


def _run_phase(
  sources: Sources, sums: jax.Array, inputs: jax.Array
) -> tuple[jax.Array, Any]:
  """Adds what the phase's edges carry to their destination nodes.

  Args:
    sources: of the edges.
    sums: of the nodes so far, with the inputs first where they have the same
      resolution.
    inputs: the cell's input nodes, (inputs, B, H, W, C).

  Returns:
    The new sums, and statistics of each source.
  """
  cell, phase = sources.cell, sources.phase
  lacking = cell.graph.inputs + cell.nodes - len(sums)
  xs: dict[str, Any] = sources.xs()
  outside = phase.stride == 2
  start = inputs if outside else jnp.array(phase.sources) - lacking
  if not sources.members.alone and not outside:
    columns = sources.mixed_columns
    sums, moments = mixture.add_sources(
      sources.mixed,
      sources.images,
      sums,
      start,
      xs['active'][..., columns],
      xs['weights'][..., columns],
      xs['mixed'],
      xs['given'],
    )
    return sums, {'mixed': moments}

  def body(sums, xs):
    start, own = xs
    return sources.add(sums, start, own)

  return lax.scan(body, sums, (start, xs))


def _run_partial(
  cell: CellEdges, inputs: tuple[jax.Array, ...]
) -> tuple[list[jax.Array], Statistics]:
  """The intermediate nodes, if operations see a part of the channels."""
  partial = cell.partial
  assert partial is not None
  zeros = _zeros(cell, inputs[0], partial.channels(inputs[0].shape[-1]))
  several = make_sources(cell, zeros)
  images = several[0].images
  sums = jnp.zeros_like(side_by_side.put(zeros, images))
  nodes = list(inputs)
  # Of each intermediate node, what passed beside operations on its edges.
  beside: list[Any] = [0.0] * cell.nodes

  def join(number):
    at = number - len(inputs)
    return partial.join(side_by_side.take(sums[at], images), beside[at])

  statistics: Statistics = {}
  for sources in several:
    phase, xs, batches = sources.phase, sources.xs(), []
    weights_SD = cell.edge_weights(phase.edges_SD)
    for s, number in enumerate(phase.sources):
      # All edges into a node leave earlier ones.
      nodes += [join(n) for n in range(len(nodes), number + 1)]
      x, rest = partial.split(nodes[number])
      passed = partial.beside(rest, phase.stride)
      for d in np.flatnonzero(phase.edges_SD[s] >= 0):
        beside[phase.first + d] += _scaled(weights_SD[s, d], passed)
      own = jax.tree.map(lambda leaf, s=s: leaf[s], xs)
      sums, batch = sources.add(sums, x, own)
      batches.append(batch)
    stacked = jax.tree.map(lambda *each: jnp.stack(each), *batches)
    sources.collect(stacked, sums, statistics)
  nodes += [join(n) for n in range(len(nodes), len(inputs) + cell.nodes)]
  return nodes[len(inputs) :], statistics


@jax.custom_jvp
def _scaled(weight: jax.Array, x: jax.Array) -> jax.Array:
  """X by a weight, whose gradient is a product of matrices, not a slow sum."""
  return (weight * x).astype(x.dtype)


@_scaled.defjvp
def _scaled_jvp(primals, tangents):
  (weight, x), (weight_dot, x_dot) = primals, tangents
  along = jnp.tensordot(weight_dot[None], x[None], 1, precision='highest')
  return _scaled(weight, x), along.astype(x.dtype) + _scaled(weight, x_dot)
