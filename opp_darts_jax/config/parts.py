"""The parts of a run's config but for its images."""

import dataclasses

from opp_darts_jax import naming
from opp_darts_jax.config.checks import at_least, require
from opp_darts_jax.config.fields import settle
from opp_darts_jax.errors import UserError, check_choice

SELECTIONS = ('largest', 'smallest', 'random', 'fixed')
BOUNDARIES = ('reset', 'keep')
COSINES = ('plain', 'reanchored')
QUANTITIES = ('multiply_adds', 'weights', 'latency')


@dataclasses.dataclass(frozen=True)
class WeightOptimizerConfig:
  """SGD for the weights w (DARTS's settings by default).

  Attributes:
    learning_rate: rate at epoch 0.
    learning_rate_min: where the cosine ends; at most learning_rate.
    momentum: heavy-ball momentum.
    nesterov: whether it is Nesterov's, which looks one step ahead.
    weight_decay: L2 term, added to the clipped gradient before momentum.
    clip_norm: global norm to which gradients are clipped.
  """

  learning_rate: float = 0.025
  learning_rate_min: float = 0.001
  momentum: float = 0.9
  weight_decay: float = 3e-4
  clip_norm: float = 5.0
  nesterov: bool = False

  def __post_init__(self) -> None:
    settle(self, 'weights.')
    for name in ('learning_rate', 'clip_norm'):
      require(
        getattr(self, name), f'weights.{name}', lambda v: v > 0, 'above 0'
      )
    for name in ('learning_rate_min', 'weight_decay'):
      at_least(self, name, 0, 'weights.')
    require(
      self.momentum, 'weights.momentum', lambda v: 0 <= v < 1, 'in [0, 1)'
    )


@dataclasses.dataclass(frozen=True)
class AlphaOptimizerConfig:
  """Adam for the architecture parameters alpha (DARTS's settings).

  Attributes:
    learning_rate: constant rate.
    b1: decay of the first moment.
    b2: decay of the second moment.
    weight_decay: L2 term, added to the gradient (not decoupled).
    clip_norm: global norm to which gradients are clipped; 0 clips none.
  """

  learning_rate: float = 3e-4
  b1: float = 0.5
  b2: float = 0.999
  weight_decay: float = 1e-3
  clip_norm: float = 0.0

  def __post_init__(self) -> None:
    settle(self, 'alphas.')
    require(
      self.learning_rate, 'alphas.learning_rate', lambda v: v > 0, 'above 0'
    )
    for name in ('b1', 'b2'):
      require(
        getattr(self, name), f'alphas.{name}', lambda v: 0 <= v < 1, 'in [0, 1)'
      )
    for name in ('weight_decay', 'clip_norm'):
      at_least(self, name, 0, 'alphas.')


@dataclasses.dataclass(frozen=True)
class MonitorConfig:
  """What is measured of a search's collapse, beside what costs nothing.

  Attributes:
    derived: whether evaluations are also of the derived cells, as a part of the
      supernet.
    eigenvalue_epochs: epochs between two measures of the largest eigenvalue of
      the validation loss's Hessian for the alphas, at most all; 0: never, as
      for methods that sample one operation an edge.
  """

  derived: bool = False
  eigenvalue_epochs: int = 0

  def __post_init__(self) -> None:
    settle(self, 'monitor.')
    at_least(self, 'eigenvalue_epochs', 0, 'monitor.')


@dataclasses.dataclass(frozen=True)
class ScheduleConfig:
  """When operations enter the supernet (OPP-DARTS, algorithm 1).

  Attributes:
    name: 'progressive', one operation a stage; 'plain', all of them at epoch 0,
      to which the other fields mean nothing; 'early_stopping' and 'freezing',
      with arguments as a method has (methods/catalogue.py); or your own, as
      'MODULE:NAME', a function from a method and this config to a method. Of
      several the first goes around the others: 'early_stopping+progressive'.
    stage_epochs: epochs between two entries (the paper's T).
    selection: which candidate enters: the one with the 'largest' operation
      loss (the paper), the 'smallest', a 'random' one, or the next of
      'fixed' order.
    order: for 'fixed', every operation of the space in order of entry.
    score_batches: batches of D_train that score a candidate; 0 is all.
    boundary: whether a new stage makes the optimisers forget ('reset', as in
      the published code) or 'keep' their moments. Adam's count of steps is one
      for all alphas: with 'keep', the first steps of an alpha that enters late
      are up to 16 times its learning rate.
    cosine: 'plain', one cosine over all epochs; 'reanchored', restarted from
      the current rate at every stage (as in the published code).
  """

  name: str = 'progressive'
  stage_epochs: int = 2
  selection: str = 'largest'
  order: tuple[str, ...] = ()
  score_batches: int = 0
  boundary: str = 'reset'
  cosine: str = 'plain'

  def __post_init__(self) -> None:
    settle(self, 'schedule.')
    require(self.name, 'schedule.name', bool, 'the name of a schedule')
    check_choice('schedule.selection', self.selection, SELECTIONS)
    check_choice('schedule.boundary', self.boundary, BOUNDARIES)
    check_choice('schedule.cosine', self.cosine, COSINES)
    at_least(self, 'stage_epochs', 1, 'schedule.')
    at_least(self, 'score_batches', 0, 'schedule.')
    if (self.selection == 'fixed') != bool(self.order):
      raise UserError(
        'schedule.order lists every operation of the space in order of entry '
        "and goes with schedule.selection='fixed'; got "
        f'selection={self.selection!r} and order={self.order!r}.'
      )

  @property
  def names(self) -> tuple[str, ...]:
    """Of the schedules, the outermost first, without their arguments."""
    terms = naming.split(self.name, '+')
    return tuple(term.partition('(')[0].strip() for term in terms)


@dataclasses.dataclass(frozen=True)
class CostConfig:
  """What the network of the cell that is found shall cost.

  Attributes:
    target: of the cost, in the units of the quantity, such as 350e6; 0 is none,
      and the other fields mean nothing then.
    quantity: 'multiply_adds' of an image, 'weights', or seconds of 'latency'.
    strength: of the price that alphas pay for a violation by the whole target
      (methods/with_cost.py).
    layers: cells of the network that is to be trained.
    channels: of its first cell.
    image_size: of its images, in pixels; 0 is that of the search's.
    imagenet: whether it is the one for large images.
    table: for 'latency', a file of `opp-darts latency`.
  """

  target: float = 0.0
  quantity: str = 'multiply_adds'
  strength: float = 1.0
  layers: int = 20
  channels: int = 36
  image_size: int = 0
  imagenet: bool = False
  table: str = ''

  def __post_init__(self) -> None:
    settle(self, 'cost.')
    check_choice('cost.quantity', self.quantity, QUANTITIES)
    for name in ('target', 'image_size'):
      at_least(self, name, 0, 'cost.')
    for name in ('layers', 'channels'):
      at_least(self, name, 1, 'cost.')
    require(self.strength, 'cost.strength', lambda v: v > 0, 'above 0')
    if self.target and (self.quantity == 'latency') != bool(self.table):
      raise UserError(
        'cost.table is a file of `opp-darts latency` and goes with cost.'
        f"quantity='latency'; got quantity={self.quantity!r} and "
        f'table={self.table!r}.'
      )
