"""The search cell: weighted sums of the active operations on every edge.

How its edges are run, as loops or as batches, is the layout's business:
loop.py and batch.py compute the same.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from opp_darts_jax.errors import check_choice
from opp_darts_jax.genotypes.space import SearchSpace
from opp_darts_jax.operations.depthwise import out_size
from opp_darts_jax.operations.layers import Preprocess
from opp_darts_jax.operations.norm import update_running
from opp_darts_jax.supernet import batch, loop
from opp_darts_jax.supernet.edges import CellEdges, cell_operations, phases

LAYOUTS = {'loop': loop.run_edges, 'batch': batch.run_edges}


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
    layout: how edges are run, of `LAYOUTS`; 'auto' chooses by the backend.
  """

  space: SearchSpace
  nodes: int
  channels: int
  reduction: bool
  after_reduction: bool
  layout: str = 'auto'

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
    edges = CellEdges(
      nodes=self.nodes,
      phases=phases(self.nodes, self.reduction),
      operations=operations,
      params=jax.tree.map(lambda p: p.astype(s0.dtype), params),
      running={name: average.value for name, average in running.items()},
      weights_EK=weights_EK,
      mask_EK=mask_EK,
      key=key,
      train=train,
    )
    layout = self.layout
    if layout == 'auto':
      layout = 'loop' if jax.default_backend() == 'cpu' else 'batch'
    check_choice('layout', layout, LAYOUTS)
    if self.is_initializing():
      # The shape alone is needed: the edges would be compiled for nothing.
      shape = [out_size(n, 1 + self.reduction) for n in s0.shape[1:3]]
      return jnp.zeros((len(s0), *shape, self.nodes * self.channels), s0.dtype)
    outputs, statistics = LAYOUTS[layout](edges, s0, s1)
    if train:
      for operation in operations:
        average = running[operation.name]
        if average.value:
          average.value = jax.tree.map(
            functools.partial(jnp.where, mask_EK[:, operation.column].any()),
            update_running(
              average.value, operation.collect(statistics[operation.name])
            ),
            average.value,
          )
    return jnp.concatenate(outputs, -1)
