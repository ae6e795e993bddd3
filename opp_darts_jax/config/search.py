"""What a search does."""

import dataclasses
from typing import Self

from opp_darts_jax.config.checks import at_least, require
from opp_darts_jax.config.parts import (
  AlphaOptimizerConfig,
  CostConfig,
  MonitorConfig,
  ScheduleConfig,
)
from opp_darts_jax.config.run import RunConfig, check_alone, check_seeds
from opp_darts_jax.errors import UserError, check_choice

BILEVEL_ORDERS = ('first', 'second', 'second_fd')
LAYOUTS = ('auto', 'loop', 'copies', 'lanes')


@dataclasses.dataclass(frozen=True)
class SearchConfig(RunConfig):
  """A search for a cell, by default as published for CIFAR-10.

  Attributes:
    search_seeds: search with each of these instead of `seed`, all at a time,
      each in a folder of its own.
    space: the search space: 'darts', 'darts_without_none', 's1' to 's4',
      'nasbench201', or your own as 'MODULE:NAME' or 'FILE.py:NAME'.
    nodes: intermediate nodes of a cell; 0 is the space's own number.
    method: the search method: 'darts', 'pc_darts', 'pc_darts(partial=2)', or
      another of methods/catalogue.py, or your own, as a space; a schedule goes
      around it.
    train_fraction: share of the training images that is D_train.
    order: alpha step of 'first' order, exact 'second' order, or second order
      by finite differences as published, 'second_fd', far from it where ReLUs
      and maxima switch (docs/methods.md).
    layout: how the edges of a cell are run: 'loop' (meant for CPU), 'copies'
      (GPU), 'lanes' (TPU), or by the device, 'auto'. It changes speed, not
      results.
    truth_cells: cells drawn at the end, where the space knows what they are
      worth trained, that the supernet's accuracies are correlated on; 0: none.
    alphas: Adam for the alphas.
    schedule: when operations enter.
    cost: what the network of the found cell shall cost.
    monitor: what is measured of its collapse.
  """

  search_seeds: tuple[int, ...] = ()
  space: str = 'darts'
  nodes: int = 0
  method: str = 'darts'
  train_fraction: float = 0.5
  order: str = 'first'
  layout: str = 'auto'
  truth_cells: int = 0
  alphas: AlphaOptimizerConfig = AlphaOptimizerConfig()
  schedule: ScheduleConfig = ScheduleConfig()
  cost: CostConfig = CostConfig()
  monitor: MonitorConfig = MonitorConfig()

  def __post_init__(self) -> None:
    super().__post_init__()
    check_choice('order', self.order, BILEVEL_ORDERS)
    check_choice('layout', self.layout, LAYOUTS)
    at_least(self, 'nodes', 0)
    require(
      self.truth_cells,
      'truth_cells',
      lambda v: v == 0 or v > 1,
      '0, or 2 cells or more',
    )
    for name in ('space', 'method'):
      require(getattr(self, name), name, bool, f'the name of a {name}')
    require(
      self.train_fraction, 'train_fraction', lambda v: 0 < v < 1, 'in (0, 1)'
    )
    check_seeds(self.search_seeds, 'search_seeds')
    if self.weights.nesterov and self.order != 'first':
      raise UserError(
        "weights.nesterov goes with order='first': the step that second order "
        f'unrolls has heavy-ball momentum; got order={self.order!r}.'
      )
    check_alone(self.seed, 'search', self.search_seeds, 'search_seeds')
    if self.data.stream:
      raise UserError(
        'data.stream is for training; a search holds its images in memory: '
        'take a part of them with data.max_train, or a smaller data.image_size.'
      )

  def check_new(self) -> None:
    """As for any run; what is measured has to come due, too."""
    super().check_new()
    require(
      self.monitor.eigenvalue_epochs,
      'monitor.eigenvalue_epochs',
      lambda v: v <= self.epochs,
      f'at most epochs, {self.epochs}',
    )

  def of_programs(self) -> Self:
    """As for any run; nor on other seeds, the monitor, or cells to rank."""
    return dataclasses.replace(
      super().of_programs(),
      search_seeds=(),
      monitor=MonitorConfig(),
      truth_cells=0,
    )
