"""The network of a genotype: its space's skeleton, one operation an edge.

As in DARTS (Liu et al., ICLR 2019, section 3.2): normalisations have scales
and biases, pools stand bare, and drop-path (Larsson et al., "FractalNet",
ICLR 2017) thins the edges out while training.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.memoized import memoized
from opp_darts_jax.networks.cell import Draws, NetworkCell, drop_path_factors
from opp_darts_jax.networks.stack import at, equal_parts, scan_cells
from opp_darts_jax.operations.layers import AuxiliaryHead
from opp_darts_jax.spaces.darts import DARTS
from opp_darts_jax.spaces.skeleton import Arrays, Part, reduction_layers
from opp_darts_jax.spaces.space import Space

AUXILIARY = 'auxiliary_head'


class Network(nn.Module):
  """The network of a genotype.

  Attributes:
    genotype: the cells.
    layers: number of cells.
    channels: of the first cell.
    classes: number of logits.
    auxiliary: whether it has an auxiliary head.
    imagenet: whether it is meant for large images, whose resolution the stem
      divides.
    compute: type of what the cells compute, such as 'bfloat16'; '' is that of
      the images. Weights, statistics and logits are float32 at least.
    stack: whether equal cells are compiled as one. It changes speed alone: less
      time to compile, on CPU somewhat more for a step without `remat`.
    remat: whether gradients compute what is inside a cell once more instead of
      keeping it, which saves memory; on CPU in stacked cells alone, as the
      compiler undoes it elsewhere.
    space: which the cells are of: it has the skeleton and the operations.

  Raises:
    UserError: if the genotype is not of the space, or the space's networks
      have no auxiliary head, no form for large images or not such channels.
  """

  genotype: Genotype
  layers: int
  channels: int
  classes: int
  auxiliary: bool = False
  imagenet: bool = False
  compute: str = ''
  stack: bool = True
  remat: bool = False
  space: Space = DARTS

  def __post_init__(self) -> None:
    self.space.check(self.genotype)
    name, skeleton = self.space.name, self.space.skeleton
    if self.auxiliary and not skeleton.auxiliary:
      raise UserError(
        f'Expected auxiliary=False: networks of space {name!r} have no '
        'auxiliary head.'
      )
    if self.imagenet and not skeleton.imagenet:
      raise UserError(
        f'Expected imagenet=False: networks of space {name!r} have no form '
        'for large images.'
      )
    skeleton.plan(self.layers, self.channels, self.imagenet)  # Says what fails.
    super().__post_init__()

  @nn.compact
  def __call__(
    self,
    images: jax.Array,
    train: bool,
    drop_path: float | jax.Array = 0.0,
  ) -> tuple[jax.Array, jax.Array | None]:
    """Classifies images.

    Args:
      images: (B, H, W, channels of the images), normalised.
      train: whether norms use the batch's statistics and 'batch_stats' moves.
      drop_path: probability, in training, with which an edge is dropped for an
        image; identities never are. Draws from the stream 'drop_path' unless
        it is the number 0.

    Operations that are random draw from the stream 'noise', in evaluation too.

    Returns:
      Logits (B, classes), and those of the auxiliary head, in training only.
    """
    skeleton = self.space.skeleton
    draws = self._draws(len(images), train, drop_path)
    auxiliary_logits = None
    images = images.astype(self.compute or images.dtype)
    outputs = skeleton.stem(images, self.channels, self.imagenet, train)
    layer = 0
    for parts in self._groups(outputs):
      if not parts[0].kind:
        outputs = (*outputs[1:], skeleton.block(outputs[-1], parts[0], train))
        continue
      layers = range(layer, layer + len(parts))
      layer = layers.stop
      outputs = self._cells(parts, layers, outputs, train, draws)
      head_here = parts[-1] == self._head_after
      if head_here and (train or self.is_initializing()):
        # The published head rectifies its input in place, which matters where
        # no other cell follows to do it: up to 3 layers, in training alone.
        outputs = (*outputs[:-1], nn.relu(outputs[-1]))
        head = AuxiliaryHead(self.classes, self.imagenet, name=AUXILIARY)
        auxiliary_logits = head(outputs[-1], train)
    logits = skeleton.head(outputs[-1], self.classes, train)
    return logits, auxiliary_logits if train else None

  @property
  def plan(self) -> tuple[Part, ...]:
    """The cells, and the blocks between them."""
    return self.space.skeleton.plan(self.layers, self.channels, self.imagenet)

  @property
  def _head_after(self) -> Part | None:
    """The cell that the auxiliary head looks at; None if there is no head."""
    cells = [part for part in self.plan if part.kind]
    number = reduction_layers(self.layers)[1]
    return cells[number] if self.auxiliary and number < len(cells) else None

  def _draws(
    self, batch: int, train: bool, drop_path: float | jax.Array
  ) -> Draws:
    """What is random on every edge of every cell."""
    # One draw for all edges: a stream for each takes long to compile.
    shape = (self.layers, max(len(cell.edges) for cell in self.genotype.cells))
    factors = key = None
    if train and not (isinstance(drop_path, (int, float)) and drop_path == 0):
      drop_key = self.make_rng('drop_path')
      factors = drop_path_factors(drop_key, drop_path, (*shape, batch))
    operations = map(self.space.operation, self.genotype.operations)
    if any(operation.in_network.random for operation in operations):
      key = jax.random.split(self.make_rng('noise'), shape)
    return Draws(factors, key)

  def _groups(self, inputs: Arrays) -> Iterator[tuple[Part, ...]]:
    """The parts that are compiled as one, by what the first one takes."""
    if not self.stack or self.is_initializing():
      return ((part,) for part in self.plan)
    shapes = tuple(x.shape[1:] for x in inputs)
    outputs = {cell.kind: len(cell.output) for cell in self.genotype.cells}
    return equal_parts(self.plan, shapes, outputs, self._head_after)

  def _cells(
    self,
    parts: tuple[Part, ...],
    layers: range,
    outputs: Arrays,
    train: bool,
    draws: Draws,
  ) -> Arrays:
    """Applies equal cells; returns the outputs of the last ones."""
    cell_type: type[NetworkCell] = NetworkCell
    if self.remat and not self.is_initializing():
      loop = len(parts) > 1  # Where nothing could undo it.
      cell_type = nn.remat(
        NetworkCell, prevent_cse=not loop, static_argnums=(2,)
      )
    make = functools.partial(
      cell_type, self.genotype[parts[0].kind], parts[0], self.space
    )
    if len(parts) == 1:
      cell = make(name=parts[0].name)
      output = cell(outputs, train, at(draws, layers[0]))
      return (*outputs[1:], output)
    variables = [
      {
        collection: self.variables.get(collection, {}).get(part.name, {})
        for collection in ('params', 'batch_stats')
      }
      for part in parts
    ]
    draws = at(draws, slice(layers.start, layers.stop))
    outputs, statistics = scan_cells(
      make(parent=None), variables, outputs, train, draws
    )
    if train:
      for part, value in zip(parts, statistics):
        if value:
          self.put_variable('batch_stats', part.name, value)
    return outputs


@memoized(8)
def _init_of(network: Network) -> Callable[[jax.Array], Any]:
  """(images) -> variables; traced once, however often shapes are asked for."""

  def init(images: jax.Array) -> Any:
    keys = {name: jax.random.key(0) for name in ('params', 'noise')}
    return network.init(keys, images, train=False)

  return init


def variable_shapes(network: Network, image_shape: Sequence[int]) -> Any:
  """The shapes of the variables for images (H, W, C); nothing is computed."""
  images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
  return jax.eval_shape(_init_of(network), images)


def count_weights(variables: Any) -> int:
  """How many weights there are in 'params', of arrays or of their shapes."""
  leaves = jax.tree.leaves(variables['params'])
  return sum(math.prod(leaf.shape) for leaf in leaves)
