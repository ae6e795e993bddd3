"""The supernet: search cells between a stem and a classifier."""

import flax.linen as nn
import jax

from opp_darts_jax.genotypes.space import SearchSpace
from opp_darts_jax.methods import architecture
from opp_darts_jax.operations.layers import Classifier, ConvNorm, cell_plan
from opp_darts_jax.supernet.cell import SearchCell


class Supernet(nn.Module):
  """The network of search cells (DARTS, section 2; OPP-DARTS, section 3).

  Attributes:
    space: the search space.
    nodes: intermediate nodes of a cell.
    layers: number of cells.
    channels: of the first cell.
    classes: number of logits.
    layout: how the edges of a cell are run, of `cell.LAYOUTS`; 'auto' is
      'loop' on CPU and 'batch' elsewhere.
    compute: type of what the cells compute, such as 'bfloat16'; '' is that of
      the images. Weights, statistics and logits are float32 at least.
    remat: whether a cell's inner values are computed again for its gradients.
  """

  space: SearchSpace
  nodes: int
  layers: int
  channels: int
  classes: int
  layout: str = 'auto'
  compute: str = ''
  remat: bool = False

  @nn.compact
  def __call__(
    self,
    images: jax.Array,
    alphas: architecture.Tables,
    mask: architecture.Tables,
    train: bool,
    key: jax.Array | None = None,
  ) -> jax.Array:
    """Classifies images.

    Args:
      images: (B, H, W, channels of the images), normalised.
      alphas: {'normal': (E, K), 'reduce': (E, K)}.
      mask: the same shapes, bool: which operations are in the supernet.
      train: whether norms use the batch's statistics, and 'batch_stats' moves.
      key: for `noise`; needed if it is in the space.

    Returns:
      Logits (B, classes).
    """
    weights = architecture.operation_weights(alphas, mask)
    if 'noise' not in self.space.operations:
      key = None
    images = images.astype(self.compute or images.dtype)
    s0 = s1 = ConvNorm(3 * self.channels, size=3, padding=1, name='stem')(
      images, train
    )
    plan = cell_plan(self.layers, self.channels)
    # `train` is the seventh argument of a cell's call, the cell the first.
    make = nn.remat(SearchCell, static_argnums=6) if self.remat else SearchCell
    for layer, (channels, reduction, after_reduction) in enumerate(plan):
      kind = 'reduce' if reduction else 'normal'
      cell = make(
        self.space,
        self.nodes,
        channels,
        reduction,
        after_reduction,
        self.layout,
        name=f'cell{layer}',
      )
      cell_key = None if key is None else jax.random.fold_in(key, layer)
      s0, s1 = s1, cell(s0, s1, weights[kind], mask[kind], cell_key, train)
    return Classifier(self.classes, name='classifier')(s1)
