"""What a run does: frozen, checked, documented; launchers build these."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, Self

from opp_darts_jax import space as space_lib
from opp_darts_jax.errors import UserError, check_choice

BILEVEL_ORDERS = ('first', 'second', 'second_fd')
LAYOUTS = ('auto', 'loop', 'batch')
COMPUTES = ('float32', 'bfloat16')
METHODS = ('opp', 'darts')
SELECTIONS = ('largest', 'smallest', 'random', 'fixed')
BOUNDARIES = ('reset', 'keep')
COSINES = ('plain', 'reanchored')
RATE_SCHEDULES = ('cosine', 'exponential', 'linear')
CROPS = ('pad', 'resized')


def _require(value: Any, name: str, holds: Any, what: str) -> None:
  if not holds(value):
    raise UserError(f'{name} must be {what}; got {value!r}.')


def _at_least(config: Any, name: str, least: int, prefix: str = '') -> None:
  value = getattr(config, name)
  _require(value, prefix + name, lambda v: v >= least, f'at least {least}')


def _check_run(config: Any) -> None:
  """Checks the fields that searches and training have in common."""
  for name in ('layers', 'channels', 'epochs', 'log_steps', 'accumulate'):
    _at_least(config, name, 1)
  _at_least(config, 'batch_size', 2)
  for name in ('seed', 'save_steps'):
    _at_least(config, name, 0)
  check_choice('compute', config.compute, COMPUTES)


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """Where images come from and how they are augmented.

  Attributes:
    source: 'digits', a folder of class folders, an .npz file, or the name of
      a tfds data set such as 'cifar10'.
    data_dir: where tfds keeps its data sets; '' is tfds's own default.
    image_size: resize images to this square size, in pixels; 0 keeps them.
    test_fraction: share tested on where the source has no test split.
    split_seed: decides every split of the images.
    max_train: use at most this many training images; 0 uses all.
    max_test: use at most this many test images; 0 uses all.
    mean: per-channel mean, in units of pixel / 255; () measures it on the
      training images.
    std: per-channel standard deviation, likewise.
    stream: whether images are read while training, instead of all at first:
      for a folder or a tfds data set that memory does not hold. It takes an
      image_size. Without their own, test images are drawn regardless of class
      from tfds data sets; so are the images that max_train and max_test leave.
    workers: processes that decode the images of a stream; 0 decodes in threads.
      The numbers do not depend on it.
    crop: of training images: 'pad', moved by up to crop_padding; 'resized', a
      random part of 8 % of the area or more, at an aspect ratio of 3/4 to 4/3,
      resized to image_size. A stream takes that part from the image as stored,
      not squeezed into a square, and tests on the centre, 0.875 of the shorter
      side, as is usual on ImageNet.
    crop_padding: zero pixels put around an image before a random crop 'pad'.
    flip: whether images are mirrored left to right at random.
    jitter: strength of colour jitter: brightness, contrast and saturation are
      scaled by factors in [1 - jitter, 1 + jitter]; 0 switches it off.
    cutout: side in pixels of the square that is blanked; 0 blanks none.
  """

  source: str = 'digits'
  data_dir: str = ''
  image_size: int = 0
  test_fraction: float = 0.2
  split_seed: int = 0
  max_train: int = 0
  max_test: int = 0
  mean: tuple[float, ...] = ()
  std: tuple[float, ...] = ()
  stream: bool = False
  workers: int = 0
  crop: str = 'pad'
  crop_padding: int = 4
  flip: bool = True
  jitter: float = 0.0
  cutout: int = 0

  def __post_init__(self) -> None:
    _require(self.source, 'data.source', bool, 'the name of a data set')
    for name in ('image_size', 'max_train', 'max_test', 'crop_padding'):
      _at_least(self, name, 0, 'data.')
    for name in ('cutout', 'workers'):
      _at_least(self, name, 0, 'data.')
    check_choice('data.crop', self.crop, CROPS)
    _require(self.jitter, 'data.jitter', lambda v: 0 <= v <= 1, 'in [0, 1]')
    if self.stream and not self.image_size:
      raise UserError(
        'data.stream needs data.image_size, the size in pixels that all its '
        'images get; got 0.'
      )
    _require(
      self.test_fraction, 'data.test_fraction', lambda v: 0 < v < 1, 'in (0, 1)'
    )
    _require(
      self.std, 'data.std', lambda v: all(s > 0 for s in v), 'all above 0'
    )


@dataclasses.dataclass(frozen=True)
class WeightOptimizerConfig:
  """SGD for the weights w (DARTS's settings by default).

  Attributes:
    learning_rate: rate at epoch 0.
    learning_rate_min: where the cosine ends.
    momentum: heavy-ball momentum.
    weight_decay: L2 term, added to the clipped gradient before momentum.
    clip_norm: global norm to which gradients are clipped.
  """

  learning_rate: float = 0.025
  learning_rate_min: float = 0.001
  momentum: float = 0.9
  weight_decay: float = 3e-4
  clip_norm: float = 5.0

  def __post_init__(self) -> None:
    for name in ('learning_rate', 'clip_norm'):
      _require(
        getattr(self, name), f'weights.{name}', lambda v: v > 0, 'above 0'
      )
    for name in ('learning_rate_min', 'weight_decay'):
      _at_least(self, name, 0, 'weights.')
    _require(
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
  """

  learning_rate: float = 3e-4
  b1: float = 0.5
  b2: float = 0.999
  weight_decay: float = 1e-3

  def __post_init__(self) -> None:
    _require(
      self.learning_rate, 'alphas.learning_rate', lambda v: v > 0, 'above 0'
    )
    for name in ('b1', 'b2'):
      _require(
        getattr(self, name), f'alphas.{name}', lambda v: 0 <= v < 1, 'in [0, 1)'
      )
    _at_least(self, 'weight_decay', 0, 'alphas.')


@dataclasses.dataclass(frozen=True)
class ScheduleConfig:
  """When operations enter the supernet (OPP-DARTS, algorithm 1).

  Attributes:
    method: 'opp', one operation a stage; 'darts', all of them at epoch 0.
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

  method: str = 'opp'
  stage_epochs: int = 2
  selection: str = 'largest'
  order: tuple[str, ...] = ()
  score_batches: int = 0
  boundary: str = 'reset'
  cosine: str = 'plain'

  def __post_init__(self) -> None:
    check_choice('schedule.method', self.method, METHODS)
    check_choice('schedule.selection', self.selection, SELECTIONS)
    check_choice('schedule.boundary', self.boundary, BOUNDARIES)
    check_choice('schedule.cosine', self.cosine, COSINES)
    _at_least(self, 'stage_epochs', 1, 'schedule.')
    _at_least(self, 'score_batches', 0, 'schedule.')
    if (self.selection == 'fixed') != bool(self.order):
      raise UserError(
        'schedule.order lists every operation of the space in order of entry '
        "and goes with schedule.selection='fixed'; got "
        f'selection={self.selection!r} and order={self.order!r}.'
      )


@dataclasses.dataclass(frozen=True)
class SearchConfig:
  """A search for a cell.

  Attributes:
    seed: decides weights, alphas, order of the images and augmentation.
    space: name of the search space (`opp_darts_jax.space.SPACES`).
    nodes: intermediate nodes of a cell.
    layers: cells in the supernet; those at layers // 3 and 2 * layers // 3
      are reduction cells.
    channels: channels of the first cell.
    epochs: passes over D_train.
    batch_size: images in a step, for each of D_train and D_val.
    train_fraction: share of the training images that is D_train.
    order: alpha step of 'first' order, exact 'second' order, or second order
      by finite differences as published, 'second_fd'.
    log_steps: steps between two lines of metrics.
    layout: how the edges of a cell are run: 'loop' (meant for CPU), 'batch'
      (GPU and TPU), or by the device, 'auto'. It changes speed, not results.
    compute: 'float32', or 'bfloat16' for what the cells compute, which GPUs and
      TPUs do faster; weights, alphas, statistics and losses stay float32.
    remat: whether a cell's inner values are computed again for its gradients
      instead of kept, which takes less memory and more time.
    accumulate: into how many parts a step divides its batch, one after the
      other, for less memory. Each part is normalised by itself, as if it were
      the batch; gradients and running averages are means over the parts.
    save_steps: steps between checkpoints within an epoch; 0 saves at the end
      of epochs alone.
    data: the images.
    weights: SGD for the weights.
    alphas: Adam for the alphas.
    schedule: when operations enter.
  """

  seed: int = 0
  space: str = 'darts'
  nodes: int = 4
  layers: int = 8
  channels: int = 16
  epochs: int = 50
  batch_size: int = 64
  train_fraction: float = 0.5
  order: str = 'first'
  log_steps: int = 50
  layout: str = 'auto'
  compute: str = 'float32'
  remat: bool = False
  accumulate: int = 1
  save_steps: int = 0
  data: DataConfig = DataConfig()
  weights: WeightOptimizerConfig = WeightOptimizerConfig()
  alphas: AlphaOptimizerConfig = AlphaOptimizerConfig()
  schedule: ScheduleConfig = ScheduleConfig()

  def __post_init__(self) -> None:
    space = space_lib.get_space(self.space)
    space.mask(self.nodes)  # Refuses a number of nodes it does not have.
    check_choice('order', self.order, BILEVEL_ORDERS)
    check_choice('layout', self.layout, LAYOUTS)
    _at_least(self, 'nodes', 1)
    _check_run(self)
    _require(
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

  @classmethod
  def from_dict(cls, fields: Mapping[str, Any]) -> Self:
    """Builds the config from nested mappings; `UserError` if one is wrong."""
    return _from_dict(cls, fields)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """Training and testing the network that a genotype describes.

  Attributes:
    seed: decides weights, order of the images, augmentation and drop-path.
    seeds: train once with each of these instead, and report mean and spread.
    genotype: a published name, a JSON or text file, or the text itself.
    channels: channels of the first cell.
    layers: cells in the network.
    epochs: passes over the training images.
    batch_size: images in a step.
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
    log_steps: steps between two lines of metrics.
    compute: 'float32', or 'bfloat16' for what the cells compute, which GPUs and
      TPUs do faster; weights, statistics and losses stay float32.
    stack: whether equal cells are compiled as one: less time to compile, and on
      CPU a step that takes about an eighth longer, unless with `remat`.
    remat: whether a cell's inner values are computed again for its gradients
      instead of kept, which takes less memory and more time; on CPU with
      `stack` alone.
    accumulate: into how many parts a step divides its batch, one after the
      other, for less memory. Each part is normalised by itself, as if it were
      the batch; gradients and running averages are means over the parts.
    save_steps: steps between checkpoints within an epoch; 0 saves at the end
      of epochs alone.
    data: the images.
    weights: SGD for the weights.
  """

  seed: int = 0
  seeds: tuple[int, ...] = ()
  genotype: str = 'OPP_DARTS'
  channels: int = 36
  layers: int = 20
  epochs: int = 600
  batch_size: int = 96
  auxiliary: bool = True
  auxiliary_weight: float = 0.4
  imagenet: bool = False
  label_smoothing: float = 0.0
  drop_path: float = 0.3
  average: float = 0.0
  rate_schedule: str = 'cosine'
  rate_decay: float = 0.0
  warmup_epochs: int = 0
  log_steps: int = 50
  compute: str = 'float32'
  stack: bool = True
  remat: bool = False
  accumulate: int = 1
  save_steps: int = 0
  data: DataConfig = DataConfig(cutout=16)
  weights: WeightOptimizerConfig = WeightOptimizerConfig(learning_rate_min=0.0)

  def __post_init__(self) -> None:
    _check_run(self)
    _at_least(self, 'auxiliary_weight', 0)
    for name in ('drop_path', 'label_smoothing', 'average'):
      _require(getattr(self, name), name, lambda v: 0 <= v < 1, 'in [0, 1)')
    _require(self.rate_decay, 'rate_decay', lambda v: 0 <= v <= 1, 'in [0, 1]')
    check_choice('rate_schedule', self.rate_schedule, RATE_SCHEDULES)
    if (self.rate_schedule == 'exponential') != bool(self.rate_decay):
      raise UserError(
        'rate_decay is the factor from epoch to epoch and goes with '
        f"rate_schedule='exponential'; got rate_decay={self.rate_decay} and "
        f'rate_schedule={self.rate_schedule!r}.'
      )
    _require(
      self.warmup_epochs,
      'warmup_epochs',
      lambda v: 0 <= v < self.epochs,
      f'at least 0 and below epochs, {self.epochs}',
    )
    _require(
      self.seeds,
      'seeds',
      lambda v: len(set(v)) == len(v) and all(s >= 0 for s in v),
      'different numbers, at least 0',
    )

  @classmethod
  def from_dict(cls, fields: Mapping[str, Any]) -> Self:
    """Builds the config from nested mappings; `UserError` if one is wrong."""
    return _from_dict(cls, fields)


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
