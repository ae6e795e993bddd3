"""What a run does: frozen, checked, documented; launchers build these."""

from opp_darts_jax.config.images import DataConfig
from opp_darts_jax.config.parts import (
  AlphaOptimizerConfig,
  CostConfig,
  MonitorConfig,
  ScheduleConfig,
  WeightOptimizerConfig,
)
from opp_darts_jax.config.run import RunConfig
from opp_darts_jax.config.search import SearchConfig
from opp_darts_jax.config.train import TrainConfig

__all__ = (
  'AlphaOptimizerConfig',
  'CostConfig',
  'DataConfig',
  'MonitorConfig',
  'RunConfig',
  'ScheduleConfig',
  'SearchConfig',
  'TrainConfig',
  'WeightOptimizerConfig',
)
