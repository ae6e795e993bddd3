"""What a run does: frozen, checked, documented; launchers build these."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, Self

from opp_darts_jax.config.parts import (
  AlphaOptimizerConfig,
  DataConfig,
  ScheduleConfig,
  WeightOptimizerConfig,
  at_least,
  require,
)
from opp_darts_jax.errors import UserError, check_choice
from opp_darts_jax.genotypes import space as space_lib

BILEVEL_ORDERS = ('first', 'second', 'second_fd')
LAYOUTS = ('auto', 'loop', 'batch')
COMPUTES = ('float32', 'bfloat16')
RATE_SCHEDULES = ('cosine', 'exponential', 'linear')


@dataclasses.dataclass(frozen=True)
class RunConfig:
  """What searches and training have in common.

  Attributes:
    seed: decides all that is random: weights, alphas, order of the images,
      augmentation and drop-path.
    layers: cells in the network; those at layers // 3 and 2 * layers // 3 are
      reduction cells.
    channels: channels of the first cell.
    epochs: passes over the training images; for a search, over D_train.
    batch_size: images in a step; for a search, of each of D_train and D_val.
    log_steps: steps between two lines of metrics.
    compute: 'float32', or 'bfloat16' for what the cells compute, which GPUs and
      TPUs do faster; weights, alphas, statistics and losses stay float32.
    remat: whether a cell's inner values are computed again for its gradients
      instead of kept, which takes less memory and more time; on CPU it does so
      where equal cells are a loop alone, as the compiler undoes it elsewhere.
    accumulate: into how many parts a step divides its batch, one after the
      other, for less memory. Each part is normalised by itself, as if it were
      the batch; gradients and running averages are means over the parts.
    save_steps: steps between checkpoints within an epoch; 0 saves at the end
      of epochs alone.
    data: the images.
    weights: SGD for the weights.
  """

  seed: int = 0
  layers: int = 8
  channels: int = 16
  epochs: int = 50
  batch_size: int = 64
  log_steps: int = 50
  compute: str = 'float32'
  remat: bool = False
  accumulate: int = 1
  save_steps: int = 0
  data: DataConfig = DataConfig()
  weights: WeightOptimizerConfig = WeightOptimizerConfig()

  def __post_init__(self) -> None:
    for name in ('layers', 'channels', 'epochs', 'log_steps', 'accumulate'):
      at_least(self, name, 1)
    at_least(self, 'batch_size', 2)
    for name in ('seed', 'save_steps'):
      at_least(self, name, 0)
    check_choice('compute', self.compute, COMPUTES)

  @classmethod
  def from_dict(cls, fields: Mapping[str, Any]) -> Self:
    """Builds the config from nested mappings; `UserError` if one is wrong."""
    return _from_dict(cls, fields)


@dataclasses.dataclass(frozen=True)
class SearchConfig(RunConfig):
  """A search for a cell, by default as published for CIFAR-10.

  Attributes:
    space: name of the search space (`opp_darts_jax.space.SPACES`).
    nodes: intermediate nodes of a cell.
    train_fraction: share of the training images that is D_train.
    order: alpha step of 'first' order, exact 'second' order, or second order
      by finite differences as published, 'second_fd'.
    layout: how the edges of a cell are run: 'loop' (meant for CPU), 'batch'
      (GPU and TPU), or by the device, 'auto'. It changes speed, not results.
    alphas: Adam for the alphas.
    schedule: when operations enter.
  """

  space: str = 'darts'
  nodes: int = 4
  train_fraction: float = 0.5
  order: str = 'first'
  layout: str = 'auto'
  alphas: AlphaOptimizerConfig = AlphaOptimizerConfig()
  schedule: ScheduleConfig = ScheduleConfig()

  def __post_init__(self) -> None:
    super().__post_init__()
    space = space_lib.get_space(self.space)
    space.mask(self.nodes)  # Refuses a number of nodes it does not have.
    check_choice('order', self.order, BILEVEL_ORDERS)
    check_choice('layout', self.layout, LAYOUTS)
    at_least(self, 'nodes', 1)
    require(
      self.train_fraction, 'train_fraction', lambda v: 0 < v < 1, 'in (0, 1)'
    )
    if self.data.stream:
      raise UserError(
        'data.stream is for training; a search holds its images in memory: '
        'take a part of them with data.max_train, or a smaller data.image_size.'
      )
    order = self.schedule.order
    if order and sorted(order) != sorted(space.operations):
      raise UserError(
        f'schedule.order must list each operation of space {self.space!r} '
        f'once ({", ".join(space.operations)}); got {", ".join(order)}.'
      )


@dataclasses.dataclass(frozen=True)
class TrainConfig(RunConfig):
  """Training and testing a genotype's network, by default as published.

  Attributes:
    seeds: train once with each of these instead, and report mean and spread.
    genotype: a published name, a JSON or text file, or the text itself.
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
    require(
      self.seeds,
      'seeds',
      lambda v: len(set(v)) == len(v) and all(s >= 0 for s in v),
      'different numbers, at least 0',
    )


def _from_dict(cls: Any, fields: Mapping[str, Any], prefix: str = '') -> Any:
  types = typing.get_type_hints(cls)
  unknown = sorted(set(fields) - set(types))
  if unknown:
    raise UserError(
      f'Unknown config field {prefix}{unknown[0]}; valid are: '
      f'{", ".join(prefix + name for name in types)}.'
    )
  return cls(
    **{
      name: _coerce(types[name], value, prefix + name)
      for name, value in fields.items()
    }
  )


def _coerce(kind: Any, value: Any, name: str) -> Any:
  """`value` as `kind`, without guessing: 1 is a float, '1' and True are not."""
  if dataclasses.is_dataclass(kind):
    if not isinstance(value, Mapping):
      raise UserError(f'{name} must be a group of fields; got {value!r}.')
    return _from_dict(kind, value, f'{name}.')
  if typing.get_origin(kind) is tuple:
    item = typing.get_args(kind)[0]
    if isinstance(value, str) or not hasattr(value, '__iter__'):
      raise UserError(f'{name} must be a tuple; got {value!r}.')
    return tuple(_coerce(item, v, name) for v in value)
  if kind is float and isinstance(value, int) and not isinstance(value, bool):
    return float(value)
  if type(value) is not kind:
    raise UserError(
      f'{name} must be of type {kind.__name__}; got {value!r}, of type '
      f'{type(value).__name__}.'
    )
  return value
