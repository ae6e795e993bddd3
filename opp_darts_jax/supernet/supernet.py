"""The supernet: search cells in the skeleton of their space."""

from collections.abc import Mapping

import flax.linen as nn
import jax

from opp_darts_jax.errors import UserError
from opp_darts_jax.spaces.space import Space
from opp_darts_jax.supernet.cell import SearchCell
from opp_darts_jax.supernet.partial import PartialChannels

Tables = dict[str, jax.Array]


class Supernet(nn.Module):
  """The network of search cells (DARTS, section 2; OPP-DARTS, section 3).

  It takes the weights of operations; what they come from is a method's
  business.

  Attributes:
    space: the search space.
    layers: number of cells.
    channels: of the first cell.
    classes: number of logits.
    layout: how the edges of a cell are run, of `cell.LAYOUTS`; 'auto' is
      'loop' on CPU, 'copies' on GPU and 'lanes' on TPU.
    compute: type of what the cells compute, such as 'bfloat16'; '' is that of
      the images. Weights, statistics and logits are float32 at least.
    remat: whether a cell's inner values are computed again for its gradients.
    partial: of the channels that operations see; None if they see all.
  """

  space: Space
  layers: int
  channels: int
  classes: int
  layout: str = 'auto'
  compute: str = ''
  remat: bool = False
  partial: PartialChannels | None = None

  @nn.compact
  def __call__(
    self,
    images: jax.Array,
    weights: Tables,
    mask: Tables,
    train: bool,
    key: jax.Array | None = None,
  ) -> jax.Array:
    """Classifies images.

    Args:
      images: (B, H, W, channels of the images), normalised.
      weights: {kind of cell: (E, K)}, of each operation on each edge, 0 where
        the mask is False; (L, E, K) gives each of the L cells of this kind its
        own.
      mask: {kind of cell: bool (E, K)}, which operations are in the supernet.
      train: whether norms use the batch's statistics, and 'batch_stats' moves.
      key: for operations that draw numbers; needed if there are any.

    Returns:
      Logits (B, classes).
    """
    skeleton = self.space.skeleton
    if not any(operation.random for operation in self.space.operations):
      key = None
    images = images.astype(self.compute or images.dtype)
    outputs = skeleton.stem(images, self.channels, False, train)
    # `train` is the sixth argument of a cell's call, the cell the first.
    make = nn.remat(SearchCell, static_argnums=5) if self.remat else SearchCell
    cells = dict.fromkeys(self.space.kinds, 0)
    plan = skeleton.plan(self.layers, self.channels, False)
    _check_copies(weights, [part.kind for part in plan])
    for part in plan:
      if not part.kind:
        outputs = (*outputs[1:], skeleton.block(outputs[-1], part, train))
        continue
      cell = make(self.space, part, self.layout, self.partial, name=part.name)
      cell_key = None
      if key is not None:
        cell_key = jax.random.fold_in(key, sum(cells.values()))
      table = weights[part.kind]
      own = table[cells[part.kind]] if table.ndim == 3 else table
      cells[part.kind] += 1
      output = cell(outputs, own, mask[part.kind], cell_key, train)
      outputs = (*outputs[1:], output)
    return skeleton.head(outputs[-1], self.classes, train)


def _check_copies(weights: Mapping[str, jax.Array], kinds: list[str]) -> None:
  """Raises `UserError` if a table of copies has too few; a read would clamp."""
  for kind, table in weights.items():
    cells = kinds.count(kind)
    if table.ndim == 3 and len(table) < cells:
      raise UserError(
        f'Expected operation weights of {cells} or more {kind} cells, or of '
        f'all at once, got {len(table)} tables.'
      )
