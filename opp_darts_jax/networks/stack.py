"""Equal cells of a network: a loop over their stacked weights.

Most cells of a deep network differ in nothing but their weights. In a loop the
compiler sees them once.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import flax.core
import flax.linen as nn
import jax
import jax.numpy as jnp

from opp_darts_jax.operations.operation import halved
from opp_darts_jax.spaces.skeleton import Arrays, Part

Shape = tuple[int, ...]


def equal_parts(
  plan: Sequence[Part],
  inputs: tuple[Shape, ...],
  outputs: Mapping[str, int],
  last: Part | None = None,
) -> Iterator[tuple[Part, ...]]:
  """Groups successive cells that take and give arrays of the same shapes.

  Args:
    plan: the cells, and the blocks between them, which stay alone.
    inputs: (H, W, C) of what the first one takes.
    outputs: {kind of cell: how many nodes it concatenates}.
    last: a part after which a group ends, if any.

  Yields:
    The parts of each group; all of them in order.
  """
  keys: list[Any] = []
  after_last = False
  for number, part in enumerate(plan):
    alone = '' if part.kind else number
    same = (part.kind, part.channels, part.reduction, part.after_reduction)
    keys.append((alone, same, inputs, after_last))
    after_last = after_last or part == last
    *_, (height, width, _) = inputs
    size = halved((height, width), 1 + part.reduction)
    channels = part.channels * outputs.get(part.kind, 1)
    inputs = (*inputs[1:], (*size, channels))
  for _, group in itertools.groupby(range(len(plan)), keys.__getitem__):
    yield tuple(plan[number] for number in group)


def scan_cells(
  cell: nn.Module,
  variables: Sequence[Any],
  outputs: Arrays,
  train: bool,
  draws: Any,
) -> tuple[Arrays, list[Any]]:
  """Runs equal cells, each on the outputs of those before it.

  Args:
    cell: any of them, unbound.
    variables: 'params' and 'batch_stats' of each.
    outputs: what the first one takes, the output before it last.
    train: whether 'batch_stats' move.
    draws: the cells' last argument, stacked on the leading axes of its leaves.

  Returns:
    What a next cell would take, and the 'batch_stats' of each.
  """

  def body(outputs, x):
    variables, draws = x
    output, changed = cell.apply(
      variables, outputs, train, draws, mutable=['batch_stats']
    )
    statistics = flax.core.unfreeze(changed.get('batch_stats', {}))
    return (*outputs[1:], output), statistics

  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *variables)
  outputs, statistics = jax.lax.scan(
    body, outputs, (stacked, draws), length=len(variables)
  )
  return outputs, [at(statistics, i) for i in range(len(variables))]


def at(tree: Any, i: int | slice) -> Any:
  """The i-th of what is stacked on the leading axis of every leaf."""
  return jax.tree.map(lambda leaf: leaf[i], tree)
