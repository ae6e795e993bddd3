"""The edges of a cell as loops, for CPU.

One loop over the source nodes around one loop over the nodes that each source
feeds, whatever their number: the program holds every operation once a cell,
forward and backward, and what an edge computes stays in the caches. What needs
the source alone (pools with their norm, identities) is computed once a source.
In the backward pass an operation recomputes its forward pass, which is faster
on machines bound by memory and keeps no activation but the nodes.

Axes: B batch, H W C, E edges, S sources, D destinations.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from opp_darts_jax.depthwise import out_size
from opp_darts_jax.edges import CellEdges, Phase, Statistics, take_copies
from opp_darts_jax.gate import gated_operation


def run_edges(
  cell: CellEdges, s0: jax.Array, s1: jax.Array
) -> tuple[list[jax.Array], Statistics]:
  """The cell's input nodes -> its intermediate nodes, (B, H, W, C) each."""
  inputs = jnp.stack([s0, s1])
  stride = cell.phases[0].stride
  shape = [out_size(n, stride) for n in s0.shape[1:3]]
  states = jnp.zeros((cell.nodes, len(s0), *shape, s0.shape[-1]), s0.dtype)
  if stride == 1:
    states = jnp.concatenate([inputs, states])
  statistics: Statistics = {}
  for phase in cell.phases:
    outside = inputs if phase.stride == 2 else None
    states, batch = _run_phase(cell, phase, states, outside)
    for name, of_phase in batch.items():
      statistics.setdefault(name, []).append(of_phase)
  return list(states[-cell.nodes :]), statistics


def _run_phase(
  cell: CellEdges, phase: Phase, states: jax.Array, inputs: jax.Array | None
) -> tuple[jax.Array, Any]:
  """Adds what the phase's edges carry to their destination nodes.

  Args:
    cell: what its edges have.
    phase: the edges.
    states: node outputs so far, (nodes, B, H, W, C); destinations come last.
    inputs: the sources' outputs, (S, B, 2H, 2W, C), where they are not states.

  Returns:
    The new states, and {operation: (copies, their statistics)}.
  """
  destinations = phase.edges_SD.shape[1]
  # The inputs, nodes 0 and 1, are not among the states of a reduction cell.
  first_state = phase.first + destinations + 2 - len(states)
  exists_SD = phase.edges_SD >= 0
  edges_SD = np.maximum(phase.edges_SD, 0)

  def per_copy(stacks, members):
    slots = {o.name: np.maximum(o.slots(phase), 0) for o in members}
    return {
      name: take_copies(stacks[name], rows) for name, rows in slots.items()
    }

  present = [o for o in cell.operations if o.present(phase)]
  shared = [o for o in present if o.shared(phase)]
  own = [o for o in present if not o.shared(phase)]
  apply = {
    o.name: gated_operation(o.primitive, phase.stride, cell.train)
    for o in present
  }

  def source_body(states, xs):
    if inputs is None:
      x = lax.dynamic_index_in_dim(states, xs['state'], 0, keepdims=False)
    else:
      x = xs['x']
    outputs, statistics = {}, {}
    # A one that the alphas reach, or an operation on a network's first inputs
    # stayed behind its gate, of which second order could take no derivative.
    one = 1.0 + 0.0 * xs['weights'][0, 0]
    for o in shared:
      if o.norms(phase):
        active = xs['active'][:, o.column].any()
        outputs[o.column], statistics[o.name] = apply[o.name](
          active, one, {}, xs['running'][o.name], x, None
        )
      else:
        outputs[o.column] = x

    def edge_body(_, edge):
      y = sum(edge['weights'][k] * z for k, z in outputs.items())
      batch = {}
      for o in own:
        z, batch[o.name] = apply[o.name](
          edge['active'][o.column],
          edge['weights'][o.column],
          edge['params'][o.name],
          edge['running'][o.name],
          x,
          edge.get('key'),
        )
        y += z
      return None, (y, batch)

    edge_xs = {
      k: xs[k] for k in ('weights', 'active', 'params', 'key') if k in xs
    }
    edge_xs['running'] = {o.name: xs['running'][o.name] for o in own}
    _, (ys, batch) = lax.scan(edge_body, None, edge_xs)
    kept, fed = jnp.split(states, [len(states) - destinations])
    return jnp.concatenate([kept, fed + ys]), statistics | batch

  xs: dict[str, Any] = {
    'state': jnp.array(phase.sources) - first_state,
    'weights': jnp.where(exists_SD[..., None], cell.weights_EK[edges_SD], 0.0),
    'active': exists_SD[..., None] & cell.mask_EK[edges_SD],
    'params': per_copy(cell.params, own),
    'running': per_copy(
      cell.running, [*own, *(o for o in shared if o.norms(phase))]
    ),
  }
  if inputs is not None:
    xs['x'] = inputs
  keys = cell.keys(edges_SD.ravel())
  if keys is not None:
    xs['key'] = keys.reshape(edges_SD.shape)
  states, statistics = lax.scan(source_body, states, xs)
  return states, {
    o.name: (
      o.slots(phase).ravel(),
      jax.tree.map(_flatten_copies, statistics[o.name]),
    )
    for o in present
    if statistics.get(o.name)
  }


def _flatten_copies(statistic: jax.Array) -> jax.Array:
  return statistic.reshape(-1, *statistic.shape[-2:])
