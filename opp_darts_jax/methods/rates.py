"""The learning rate of a search's weights."""

import math
from collections.abc import Sequence

from opp_darts_jax.config import SearchConfig


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
