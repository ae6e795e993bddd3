"""The search cell: weighted sums of the active operations on every edge.

Which operations are active is data, a mask over all operations of the space:
an inactive one costs no computing, as it sits behind a condition, so that one
compiled program serves every stage and every candidate of a search.

The edges of a cell are one loop over the source nodes around one loop over the
nodes that each source feeds, whatever their number: the program holds every
operation once a cell, forward and backward. What needs the source alone (pools
with their norm, identities) is computed once a source. In the backward pass an
operation recomputes its forward pass, which is faster on machines bound by
memory and keeps no activation but the nodes.

Axes: B batch, H W C, E edges, K operations, S sources, D destinations.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from opp_darts_jax.depthwise import out_size
from opp_darts_jax.edges import CellOperation, Phase, cell_operations, phases
from opp_darts_jax.layers import Preprocess
from opp_darts_jax.norm import batch_norm, update_running
from opp_darts_jax.primitives import Primitive
from opp_darts_jax.space import SearchSpace


def _apply(
  primitive: Primitive, stride: int, train: bool
) -> Callable[..., tuple[jax.Array, Any]]:
  """The operation with its weight, behind a condition, recomputed backward.

  Returns:
    (active, weight, params, running, x, key) -> weight * operation(x), and
    its norms' statistics {'mean': (N, C), 'var': (N, C)}; both zero when not
    active, at no cost.
  """

  def weighted(weight, params, running, x, key):
    statistics = []

    def norm(y, i):
      used = None if train else jax.tree.map(lambda t: t[i], running)
      y, batch = batch_norm(y, used)
      statistics.append(batch)
      return y

    y = primitive.apply(params, x, norm, stride, key)
    if primitive.search_norm:
      y = norm(y, 0)
    if not statistics:
      return weight * y, {}
    return weight * y, jax.tree.map(lambda *t: jnp.stack(t), *statistics)

  def zeros(*args, like):
    del args
    return jax.tree.map(lambda t: jnp.zeros(t.shape, t.dtype), like)

  def backward(weight, params, running, x, key, g):
    def output(weight, params, x):
      return weighted(weight, params, running, x, key)[0]

    return jax.vjp(output, weight, params, x)[1](g)

  def forward(active, *args):
    none = functools.partial(zeros, like=jax.eval_shape(weighted, *args))
    return lax.cond(active, weighted, none, *args)

  gated = jax.custom_vjp(forward)

  def gated_fwd(active, *args):
    # Not `gated`, which has no forward derivative, as second order takes.
    return forward(active, *args), (active, args)

  def gated_bwd(residuals, cotangents):
    active, args = residuals
    args = (*args, cotangents[0])  # Statistics pass no gradient on.
    none = functools.partial(zeros, like=jax.eval_shape(backward, *args))
    weight, params, x = lax.cond(active, backward, none, *args)
    return None, weight, params, None, x, None

  gated.defvjp(gated_fwd, gated_bwd)
  return gated


class SearchCell(nn.Module):
  """A cell whose edges are weighted sums of operations.

  Weights of an operation are stacked over the edges that may have it, in the
  order of the edges; statistics of pools over the source nodes.

  Attributes:
    space: the search space.
    nodes: intermediate nodes.
    channels: of every node.
    reduction: whether it halves the resolution.
    after_reduction: whether the cell before does.
  """

  space: SearchSpace
  nodes: int
  channels: int
  reduction: bool
  after_reduction: bool

  @nn.compact
  def __call__(
    self,
    s0: jax.Array,
    s1: jax.Array,
    weights_EK: jax.Array,
    mask_EK: jax.Array,
    key: jax.Array | None,
    train: bool,
  ) -> jax.Array:
    """The outputs of the two cells before -> (B, H, W, nodes * channels)."""
    s0, s1 = Preprocess(
      self.channels, self.after_reduction, affine=False, name='preprocess'
    )(s0, s1, train)
    operations = cell_operations(
      self.space, self.nodes, self.channels, self.reduction
    )
    params = {o.name: self.param(o.name, o.init) for o in operations}
    running = {
      o.name: self.variable('batch_stats', o.name, o.init_statistics)
      for o in operations
    }
    run = functools.partial(
      _run_phase,
      operations=operations,
      params=params,
      running={name: average.value for name, average in running.items()},
      weights_EK=weights_EK,
      mask_EK=mask_EK,
      key=key,
      train=train,
    )
    inputs = jnp.stack([s0, s1])
    shape = [out_size(n, 1 + self.reduction) for n in s0.shape[1:3]]
    states = jnp.zeros((self.nodes, len(s0), *shape, self.channels), s0.dtype)
    if not self.reduction:
      states = jnp.concatenate([inputs, states])
    statistics = []
    # Initialising needs the shapes alone: the loops would compile for nothing.
    for phase in (
      () if self.is_initializing() else phases(self.nodes, self.reduction)
    ):
      states, batch = run(phase, states, inputs if phase.stride == 2 else None)
      statistics.append(batch)
    if train and not self.is_initializing():
      for operation in operations:
        average = running[operation.name]
        if average.value:
          average.value = jax.tree.map(
            functools.partial(jnp.where, mask_EK[:, operation.column].any()),
            update_running(average.value, operation.collect(statistics)),
            average.value,
          )
    return jnp.concatenate(list(states[-self.nodes :]), -1)


def _run_phase(
  phase: Phase,
  states: jax.Array,
  inputs: jax.Array | None,
  *,
  operations: Sequence[CellOperation],
  params: Any,
  running: Any,
  weights_EK: jax.Array,
  mask_EK: jax.Array,
  key: jax.Array | None,
  train: bool,
) -> tuple[jax.Array, Any]:
  """Adds what the phase's edges carry to their destination nodes.

  Args:
    phase: the edges.
    states: node outputs so far, (nodes, B, H, W, C); destinations come last.
    inputs: the sources' outputs, (S, B, 2H, 2W, C), where they are not states.
    operations: of the cell.
    params: {operation: weights stacked over its copies}.
    running: {operation: running averages stacked over its copies}.
    weights_EK: softmax weight of each operation on each edge.
    mask_EK: whether it is active there.
    key: for operations that draw numbers.
    train: whether norms use the batch's statistics.

  Returns:
    The new states, and {operation: statistics (S[, D], N, C)}.
  """
  count = len(phase.sources)
  destinations = phase.edges_SD.shape[1]
  # The inputs, nodes 0 and 1, are not among the states of a reduction cell.
  first_state = phase.first + destinations + 2 - len(states)
  exists_SD = phase.edges_SD >= 0
  edges_SD = np.maximum(phase.edges_SD, 0)

  def per_copy(stacks, members):
    slots = {o.name: np.maximum(o.slots(phase), 0) for o in members}
    return {
      name: jax.tree.map(operator.itemgetter(rows), stacks[name])
      for name, rows in slots.items()
    }

  present = [o for o in operations if o.present(phase)]
  shared = [o for o in present if o.shared(phase)]
  own = [o for o in present if not o.shared(phase)]
  apply = {o.name: _apply(o.primitive, phase.stride, train) for o in present}

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
    'weights': jnp.where(exists_SD[..., None], weights_EK[edges_SD], 0.0),
    'active': exists_SD[..., None] & mask_EK[edges_SD],
    'params': per_copy(params, own),
    'running': per_copy(
      running, [*own, *(o for o in shared if o.norms(phase))]
    ),
  }
  if inputs is not None:
    xs['x'] = inputs
  if key is not None:
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))
    xs['key'] = keys(edges_SD.ravel()).reshape(count, destinations)
  states, statistics = lax.scan(source_body, states, xs)
  return states, {name: s for name, s in statistics.items() if s}
