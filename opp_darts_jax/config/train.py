"""What a training does."""

import dataclasses

from opp_darts_jax.config.checks import at_least, require
from opp_darts_jax.config.images import DataConfig
from opp_darts_jax.config.parts import WeightOptimizerConfig
from opp_darts_jax.config.run import RunConfig, check_alone, check_seeds
from opp_darts_jax.errors import UserError, check_choice

RATE_SCHEDULES = ('cosine', 'exponential', 'linear')


@dataclasses.dataclass(frozen=True)
class TrainConfig(RunConfig):
  """Training and testing a genotype's network, by default as published.

  Attributes:
    seeds: train once with each of these instead, and report mean and spread.
    genotype: a published name, a JSON or text file, or the text itself.
    space: whose cells these are, with its operations and what puts cells
      together; published ones are of 'darts'.
    auxiliary: whether an auxiliary head helps training.
    auxiliary_weight: weight of its loss.
    imagenet: whether the network is the one for large images, whose first
      convolutions divide the resolution by eight.
    label_smoothing: share of the label spread evenly over all classes.
    drop_path: probability of dropping an edge at the last epoch, reached
      linearly.
    average: decay of an exponential average of the weights, which is then
      tested and kept in their place; 0 has none. At first it decays faster, as
      (1 + steps) / (10 + steps).
    rate_schedule: how the learning rate falls from epoch to epoch: 'cosine'
      and 'linear' end at weights.learning_rate_min, 'exponential' multiplies.
    rate_decay: the factor, with rate_schedule='exponential'; else 0.
    warmup_epochs: epochs in which the rate grows linearly to the first one,
      before it falls in those that remain.
    stack: whether equal cells are compiled as one: less time to compile, and on
      CPU a step that takes about an eighth longer.
  """

  layers: int = 20
  channels: int = 36
  epochs: int = 600
  batch_size: int = 96
  data: DataConfig = DataConfig(cutout=16)
  weights: WeightOptimizerConfig = WeightOptimizerConfig(learning_rate_min=0.0)
  seeds: tuple[int, ...] = ()
  genotype: str = 'OPP_DARTS'
  space: str = 'darts'
  auxiliary: bool = True
  auxiliary_weight: float = 0.4
  imagenet: bool = False
  label_smoothing: float = 0.0
  drop_path: float = 0.3
  average: float = 0.0
  rate_schedule: str = 'cosine'
  rate_decay: float = 0.0
  warmup_epochs: int = 0
  stack: bool = True

  def __post_init__(self) -> None:
    super().__post_init__()
    at_least(self, 'auxiliary_weight', 0)
    for name in ('drop_path', 'label_smoothing', 'average'):
      require(getattr(self, name), name, lambda v: 0 <= v < 1, 'in [0, 1)')
    require(self.rate_decay, 'rate_decay', lambda v: 0 <= v <= 1, 'in [0, 1]')
    check_choice('rate_schedule', self.rate_schedule, RATE_SCHEDULES)
    if (self.rate_schedule == 'exponential') != bool(self.rate_decay):
      raise UserError(
        'rate_decay is the factor from epoch to epoch and goes with '
        f"rate_schedule='exponential'; got rate_decay={self.rate_decay} and "
        f'rate_schedule={self.rate_schedule!r}.'
      )
    require(
      self.warmup_epochs,
      'warmup_epochs',
      lambda v: 0 <= v < self.epochs,
      f'at least 0 and below epochs, {self.epochs}',
    )
    check_seeds(self.seeds, 'seeds')
    check_alone(self.seed, 'training', self.seeds, 'seeds')
