"""Equal cells of an evaluation network: a loop over their stacked weights.

Most cells of a deep network differ in nothing but their weights. In a loop the
compiler sees them once.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import flax.core
import flax.linen as nn
import jax
import jax.numpy as jnp


def equal_cells(
  plan: Sequence[tuple[int, bool, bool]],
  inputs: tuple[int, int],
  concats: tuple[int, int],
) -> Iterator[range]:
  """Groups successive cells that take and give arrays of the same shapes.

  Resolutions need no look: no two successive cells of the same channels halve
  them, or follow one that does.

  Args:
    plan: the cells, from `cell_plan`.
    inputs: channels of the first cell's two inputs.
    concats: how many nodes normal cells and reduction cells concatenate.

  Yields:
    The numbers of the cells of each group; all of them in order.
  """
  before, last = inputs
  shapes = []
  for cell in plan:
    shapes.append((cell, before, last))
    channels, reduction, _ = cell
    before, last = last, channels * concats[reduction]
  for _, group in itertools.groupby(range(len(shapes)), shapes.__getitem__):
    numbers = list(group)
    yield range(numbers[0], numbers[-1] + 1)


def scan_cells(
  cell: nn.Module,
  variables: Sequence[Any],
  s0: jax.Array,
  s1: jax.Array,
  train: bool,
  draws: Any,
) -> tuple[jax.Array, jax.Array, list[Any]]:
  """Runs equal cells, each on the outputs of the two before it.

  Args:
    cell: any of them, unbound.
    variables: 'params' and 'batch_stats' of each.
    s0: (B, H, W, C), the input of the first from two cells before.
    s1: (B, H, W, C), that from the cell before.
    train: whether 'batch_stats' move.
    draws: the cells' last argument, stacked on the leading axes of its leaves.

  Returns:
    The outputs of the last two, and the 'batch_stats' of each.
  """

  def body(inputs, x):
    variables, draws = x
    output, changed = cell.apply(
      variables, *inputs, train, draws, mutable=['batch_stats']
    )
    return (inputs[1], output), flax.core.unfreeze(changed['batch_stats'])

  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *variables)
  (s0, s1), statistics = jax.lax.scan(body, (s0, s1), (stacked, draws))
  return s0, s1, [at(statistics, i) for i in range(len(variables))]


def at(tree: Any, i: int | slice) -> Any:
  """The i-th of what is stacked on the leading axis of every leaf."""
  return jax.tree.map(lambda leaf: leaf[i], tree)
