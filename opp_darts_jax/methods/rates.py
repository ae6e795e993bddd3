"""The learning rate of the weights, in a search and in a training."""

import math
from collections.abc import Sequence

from opp_darts_jax.config import SearchConfig, TrainConfig


def cosine_rate(
  config: SearchConfig, epoch: int, stage_epochs: Sequence[int]
) -> float:
  """The weights' learning rate in an epoch.

  Args:
    config: its cosine over all epochs; 'reanchored' starts it anew from the
      current rate at each stage.
    epoch: counted from 0.
    stage_epochs: at which stages began, ascending.
  """
  rates = config.weights
  least = rates.learning_rate_min

  def cosine(start, rate, at):
    share = (at - start) / (config.epochs - start)
    return least + (rate - least) * (1 + math.cos(math.pi * share)) / 2

  start, rate = 0, rates.learning_rate
  if config.schedule.cosine == 'reanchored':
    for begin in stage_epochs:
      if begin <= epoch:
        start, rate = begin, cosine(start, rate, begin)
  return cosine(start, rate, epoch)


def training_rate(config: TrainConfig, epoch: int) -> float:
  """The weights' learning rate in an epoch of a training, from 0."""
  most, least = config.weights.learning_rate, config.weights.learning_rate_min
  warmup = config.warmup_epochs
  if epoch < warmup:
    return most * (epoch + 1) / warmup
  if config.rate_schedule == 'exponential':
    return most * config.rate_decay ** (epoch - warmup)
  share = (epoch - warmup) / (config.epochs - warmup)
  if config.rate_schedule == 'cosine':
    share = (1 - math.cos(math.pi * share)) / 2
  return most + (least - most) * share
