"""What searches and training have in common."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

from opp_darts_jax.config import fields as fields_lib
from opp_darts_jax.config.checks import at_least, require
from opp_darts_jax.config.images import DataConfig
from opp_darts_jax.config.parts import WeightOptimizerConfig
from opp_darts_jax.errors import UserError, check_choice

COMPUTES = ('float32', 'bfloat16')
PRECISIONS = ('highest', 'high', 'default')
NORM_STATISTICS = ('global', 'device')
# Keys of JAX are made of 32 bits, and cut off what is above.
_SEEDS = 2**32


@dataclasses.dataclass(frozen=True)
class RunConfig:
  """What searches and training have in common.

  Attributes:
    seed: decides all that is random: weights, alphas, order of the images,
      augmentation and drop-path; below 2**32.
    layers: cells in the network; those at layers // 3 and 2 * layers // 3 are
      reduction cells, so that fewer than 3 have no normal cell.
    channels: channels of the first cell.
    epochs: passes over the training images; for a search, over D_train.
    batch_size: images in a step; for a search, of each of D_train and D_val.
    eval_batch_size: images evaluated at a time: of D_val by a search, of the
      test images by a training. Norms go by running averages there, so that it
      changes speed, memory and rounding alone, and what a method draws at
      random, once a batch. 0 is batch_size on CPU; on GPUs and TPUs 512, or
      batch_size if that is more, or if accumulate or remat save memory.
    eval_epochs: epochs between two evaluations; after the last epoch there is
      always one. Lines of metrics of the other epochs have no numbers of it.
    log_steps: steps between two lines of metrics.
    compute: 'float32', or 'bfloat16' for what the cells compute, which GPUs and
      TPUs do faster; weights, alphas, statistics and losses stay float32.
    precision: of products of float32 numbers, on GPUs and TPUs, as JAX names
      it: 'highest' is float32; 'high' takes fewer bits (TensorFloat-32 on GPUs,
      three passes of bfloat16 on TPUs), and 'default' what is fastest
      (TensorFloat-32, or one pass). On CPU, and in bfloat16, all are the same.
    deterministic: whether programs for a GPU are compiled without what may sum
      in another order in another run, and without trying out which kernels are
      fastest, so that a run gives the same bits again; CPUs and TPUs always do.
    norm_statistics: of what a step's norms take mean and variance, on several
      devices: of the whole batch, 'global', whatever the number of devices, or
      of the 'device''s own share, as PyTorch's DistributedDataParallel, so that
      devices wait for each other at the gradients alone. Running averages then
      move by the mean over devices.
    remat: whether a cell's inner values are computed again for its gradients
      instead of kept, which takes less memory and more time; on CPU it does so
      where equal cells are a loop alone, as the compiler undoes it elsewhere.
    accumulate: into how many parts a step divides its batch, one after the
      other, for less memory. Each part is normalised by itself, as if it were
      the batch; gradients and running averages are means over the parts. A
      method that samples operations draws anew for each.
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
  eval_batch_size: int = 0
  eval_epochs: int = 1
  log_steps: int = 50
  compute: str = 'float32'
  precision: str = 'highest'
  deterministic: bool = False
  norm_statistics: str = 'global'
  remat: bool = False
  accumulate: int = 1
  save_steps: int = 0
  data: DataConfig = DataConfig()
  weights: WeightOptimizerConfig = WeightOptimizerConfig()

  def __post_init__(self) -> None:
    fields_lib.settle(self)
    for name in ('layers', 'channels', 'epochs', 'log_steps', 'accumulate'):
      at_least(self, name, 1)
    at_least(self, 'eval_epochs', 1)
    at_least(self, 'batch_size', 2)
    require(self.seed, 'seed', _is_seed, 'at least 0 and below 2**32')
    for name in ('save_steps', 'eval_batch_size'):
      at_least(self, name, 0)
    check_choice('compute', self.compute, COMPUTES)
    check_choice('precision', self.precision, PRECISIONS)
    check_choice('norm_statistics', self.norm_statistics, NORM_STATISTICS)

  def check_new(self) -> None:
    """Raises `UserError` if no run of this config shall begin.

    Earlier releases ran what is refused here: such a run can be read, and is
    told of by the command that it was made by.
    """
    rates = self.weights
    require(
      rates.learning_rate_min,
      'weights.learning_rate_min',
      lambda v: v <= rates.learning_rate,
      f'at most weights.learning_rate, {rates.learning_rate}',
    )

  def evaluates(self, epoch: int) -> bool:
    """Whether the run is evaluated after this epoch."""
    done = epoch + 1
    return done % self.eval_epochs == 0 or done == self.epochs

  def of_programs(self) -> Self:
    """The config but for what programs do not depend on.

    Runs that differ in nothing else are of the same programs.
    """
    return dataclasses.replace(
      self,
      seed=0,
      eval_epochs=1,
      log_steps=1,
      save_steps=0,
      data=DataConfig(),
    )

  @classmethod
  def from_dict(cls, fields: Mapping[str, Any]) -> Self:
    """Builds the config from nested mappings; `UserError` if one is wrong."""
    return fields_lib.from_dict(cls, fields)


def check_seeds(seeds: Sequence[int], name: str) -> None:
  """Raises `UserError` unless these are seeds, and none is there twice."""
  require(
    seeds,
    name,
    lambda v: len(set(v)) == len(v) and all(map(_is_seed, v)),
    'different numbers, at least 0 and below 2**32',
  )


def check_alone(seed: int, run: str, seeds: Sequence[int], name: str) -> None:
  """Raises `UserError` if a run has a seed, and those of several such runs."""
  if seeds and seed:
    raise UserError(
      f'seed is that of one {run}, {name} are those of several: give either; '
      f'got seed={seed} and {name}={seeds}.'
    )


def _is_seed(value: int) -> bool:
  return 0 <= value < _SEEDS
