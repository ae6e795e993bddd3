"""What happens between epochs: stages, and what a method may ask for there."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, Self

import jax
import numpy as np

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.tables import Tables
from opp_darts_jax.spaces.space import Space


class Stage(NamedTuple):
  """What happened to the operations at the start of an epoch.

  Attributes:
    epoch: which.
    entered: the operations that entered then, in order.
    losses: operation loss of every candidate; empty if none was scored.
  """

  epoch: int
  entered: tuple[str, ...]
  losses: dict[str, float]

  @classmethod
  def from_json(cls, fields: Mapping[str, Any]) -> Self:
    """The stage whose `_asdict` went through JSON."""
    return cls(fields['epoch'], tuple(fields['entered']), fields['losses'])


class Change(NamedTuple):
  """What a method makes of the start of an epoch.

  Attributes:
    state: to go on with.
    stage: what happened, to be written down; None if nothing did.
    stop: whether the search ends before this epoch.
    search: to go on with, that the state is of: one of another depth or width,
      from `Search.resized`; None is the same.
  """

  state: SearchState
  stage: Stage | None = None
  stop: bool = False
  search: 'Search | None' = None


class Search(Protocol):
  """A running search, as far as methods ask for it between steps.

  Attributes:
    config: of the search.
    space: that it searches.
    key: of the whole search.
    per_epoch: steps of an epoch.
  """

  config: SearchConfig
  space: Space
  key: jax.Array
  per_epoch: int

  def fresh(self, key: jax.Array) -> SearchState:
    """An initial state, every operation with fresh weights."""

  def resized(
    self, layers: int | None = None, channels: int | None = None
  ) -> 'Search':
    """The search with a supernet of another size, whose programs are new."""

  def score(
    self, state: SearchState, mask: Mapping[str, np.ndarray], key: jax.Array
  ) -> float:
    """The mean training loss of what a mask has, nothing else changed."""

  def accuracy(
    self,
    state: SearchState,
    tables: Tables | None = None,
    by_batch: bool = False,
  ) -> float:
    """On D_val, with these operation weights instead of the method's.

    By the running averages, or by the statistics of each whole batch.
    """

  def curvature(self, state: SearchState) -> float:
    """The largest eigenvalue of the validation loss's Hessian for the alphas.

    Of a batch of D_val that the step decides, and of trained parameters alone;
    their weight decay is a part of it.
    """
