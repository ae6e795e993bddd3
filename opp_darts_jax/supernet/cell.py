"""The search cell: weighted sums of the active operations on every edge.

How its edges are run, as loops or as lists of copies by the kernels of a GPU or
a TPU, is the layout's business: loop.py and copies.py compute the same.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from opp_darts_jax.errors import check_choice
from opp_darts_jax.operations.norm import update_running
from opp_darts_jax.operations.operation import halved
from opp_darts_jax.operations.target import current
from opp_darts_jax.operations.weights import param
from opp_darts_jax.spaces.skeleton import Arrays, Part
from opp_darts_jax.spaces.space import Space
from opp_darts_jax.supernet import loop
from opp_darts_jax.supernet.edges import (
  CellEdges,
  Statistics,
  cell_operations,
  phases,
)
from opp_darts_jax.supernet.partial import PartialChannels

_Inputs = tuple[jax.Array, ...]
_Outcome = tuple[jax.Array, Statistics]


# Kernels are imported when they are needed: for half a second, and a CPU needs
# none.
def _kernels_of_copies() -> Any:
  from opp_darts_jax.operations.accelerator import fused

  return fused.KERNELS


def _kernels_of_lanes() -> Any:
  from opp_darts_jax.operations.accelerator.lanes import fused

  return fused.KERNELS


_KERNELS = {'copies': _kernels_of_copies, 'lanes': _kernels_of_lanes}


def _run_lists(layout: str, edges: CellEdges, inputs: _Inputs) -> _Outcome:
  from opp_darts_jax.supernet import copies

  return copies.run_edges(_KERNELS[layout](), edges, inputs)


LAYOUTS: dict[str, Callable[[CellEdges, _Inputs], _Outcome]] = {
  'loop': loop.run_edges,
  **{name: functools.partial(_run_lists, name) for name in _KERNELS},
}


def _best_layout() -> str:
  """The layout that serves what is traced for."""
  target = current()
  if target.platform == 'gpu':
    return 'copies'
  return 'loop' if target.platform == 'cpu' else 'lanes'


def load_kernels(layout: str) -> None:
  """Imports what a layout runs, before a program with it is traced.

  JAX 0.11 keeps traced programs by settings of which Pallas for TPUs, by which
  kernels are interpreted too, brings one: a program that imports it while it is
  traced would be traced and compiled once more.

  Args:
    layout: of `LAYOUTS`, or 'auto': by the platform that is traced for.
  """
  if (_best_layout() if layout == 'auto' else layout) in _KERNELS:
    for load in _KERNELS.values():
      load()


class SearchCell(nn.Module):
  """A cell whose edges are weighted sums of operations.

  Weights of an operation are stacked over the edges that may have it, in the
  order of the edges; statistics of pools over the source nodes.

  Attributes:
    space: the search space.
    part: of the skeleton.
    layout: how edges are run, of `LAYOUTS`; 'auto' chooses by the platform.
    partial: of the channels that operations see; None if they see all.
  """

  space: Space
  part: Part
  layout: str = 'auto'
  partial: PartialChannels | None = None

  @nn.compact
  def __call__(
    self,
    outputs: Arrays,
    weights_EK: jax.Array,
    mask_EK: jax.Array,
    key: jax.Array | None,
    train: bool,
  ) -> jax.Array:
    """The outputs of the parts before -> (B, H, W, output nodes * channels)."""
    space, part = self.space, self.part
    inputs = space.skeleton.inputs(outputs, part, False, train)
    space.check_inputs(len(inputs))
    dtype = inputs[0].dtype
    channels = part.channels
    if self.partial is not None:
      channels = self.partial.channels(channels)
    operations = cell_operations(space, part.kind, channels, part.reduction)
    params = {o.name: param(self, o.name, o.init) for o in operations}
    running = {
      o.name: self.variable('batch_stats', o.name, o.init_statistics)
      for o in operations
    }
    edges = CellEdges(
      graph=space.graph,
      phases=phases(space.graph, part.reduction),
      operations=operations,
      params=params,
      running={name: average.value for name, average in running.items()},
      weights_EK=weights_EK,
      mask_EK=mask_EK,
      key=key,
      train=train,
      partial=self.partial,
    )
    layout = self.layout
    if layout == 'auto':
      layout = _best_layout()
    check_choice('layout', layout, LAYOUTS)
    if self.is_initializing():
      # The shape alone is needed: the edges would be compiled for nothing.
      count, height, width, _ = inputs[0].shape
      size = halved((height, width), 1 + part.reduction)
      width_out = len(space.graph.output) * part.channels
      return jnp.zeros((count, *size, width_out), dtype)
    output, statistics = LAYOUTS[layout](edges, inputs)
    if train:
      for operation in operations:
        average = running[operation.name]
        if average.value:
          average.value = jax.tree.map(
            functools.partial(
              jnp.where, operation.active(mask_EK)[:, None, None]
            ),
            update_running(
              average.value, operation.collect(statistics[operation.name])
            ),
            average.value,
          )
    return output
