"""What a search method is: one record of functions, and nothing elsewhere.

The supernet takes operation weights; a method makes them of its parameters,
says which gradients and terms there are, and what happens between epochs. A
schedule, such as progressive.py, is a function from method to method. Which
methods of the field need which of these is a table in docs/methods.md.
"""

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods.growth import all_enter
from opp_darts_jax.methods.rates import cosine_rate
from opp_darts_jax.methods.stages import Change, Search, Stage
from opp_darts_jax.methods.state import Pass, SearchState
from opp_darts_jax.methods.tables import Tables
from opp_darts_jax.spaces.space import Space
from opp_darts_jax.supernet.partial import PartialChannels


class Progress(NamedTuple):
  """Where a search is; traced in its steps.

  Attributes:
    step: steps taken.
    epoch: of the step, counted from 0.
    epochs: of the whole search.
  """

  step: jax.Array
  epoch: jax.Array
  epochs: int


class Draw(NamedTuple):
  """By what chance, and when, operation weights are taken.

  Attributes:
    key: of this pass alone.
    progress: of the search.
    cells: how many of each kind the supernet has.
    own: what the method keeps in the state; None where there is no state.
  """

  key: jax.Array
  progress: Progress
  cells: Mapping[str, int] = types.MappingProxyType({})
  own: Any = None


class Gradients(NamedTuple):
  """What a weight step may ask for, as often as it likes.

  Attributes:
    weights: operation weights -> (mean training loss, `Pass`), and the gradient
      for the supernet's weights.
    tables: operation weights -> the training loss's gradient for them, 0 for
      what is not active.
    evaluated: operation weights -> the training loss and likewise its gradient,
      with norms that go by the running averages.
    validation: operation weights -> the gradient of the loss on the batch of
      D_val for the supernet's weights.
  """

  weights: Callable[[Tables], tuple[tuple[jax.Array, Pass], Any]]
  tables: Callable[[Tables], Tables]
  evaluated: Callable[[Tables], tuple[jax.Array, Tables]]
  validation: Callable[[Tables], Any]


class Inside(NamedTuple):
  """What a schedule is around, for others that have to go in there.

  Attributes:
    whole: the record that the schedule gave, which nothing else is around.
    rebuilt: (method -> method) -> the schedule around its method so changed.
  """

  whole: 'Method'
  rebuilt: Callable[[Callable[['Method'], 'Method']], 'Method']


Params = Any  # A dict; {kind: (E, K)} among its entries.
Term = Callable[[Space, Params, Tables, Draw], jax.Array | float]


def no_term(space: Space, params: Params, mask: Tables, draw: Draw) -> float:
  """A method's term where it has none."""
  del space, params, mask, draw
  return 0.0


def derive_by_scores(
  method: 'Method', search: Search, state: SearchState
) -> Genotype:
  """By the rule of the space, on the method's scores."""
  space = search.space
  return space.derive(space, scores_of(method, space, state))


def scores_of(
  method: 'Method', space: Space, state: SearchState
) -> dict[str, np.ndarray]:
  """What a state's cells are derived from, {kind: (E, K)}, on the host."""
  return jax.device_get(method.scores(space, state.alphas, state.mask))


class Method(NamedTuple):
  """A search method; all but the first four have defaults.

  Attributes:
    name: what it is called.
    init: (key, space) -> its parameters, a dict that has a table of alphas
      (E, K) for each kind of cell, K all operations, and whatever else it needs
      under other names.
    weights: (space, parameters, mask, draw) -> operation weights
      {kind: (E, K)}, or (L, E, K) for the L cells of a kind apart; 0 where the
      mask is False.
    scores: (space, parameters, mask) -> what is derived from, {kind: (E, K)}.
    prepare: space -> that of the supernet: with operations wrapped, or further
      ones after those that are searched, for which `weights` gives columns.
    partial: of the channels that operations see; None if they see all.
    trained: (parameters, mask) -> which parameters are trained, bool of their
      structure.
    trains_alphas: progress -> whether a step moves the parameters; None: all.
    sparse: whether a pass leaves out operations of weight 0, which then have no
      slope and cost nothing (but what no kernel knows, in a list of copies):
      for a method that samples one of them. What is reported of it on D_val
      goes by the statistics of each batch.
    weights_first: whether a step moves the weights before the parameters.
    single_level: whether both move at once, down the loss on D_train.
    val_term: (space, parameters, mask, draw) -> what is added to the validation
      loss.
    train_term: the same for the training loss.
    init_own: (space, weights of the supernet) -> what the method keeps beside
      its parameters, arrays.
    weight_gradient: (gradients, operation weights, own, draw) -> (training
      loss, `Pass`), the gradient for the weights, and what is kept; None takes
      `gradients.weights` of the operation weights.
    moves: (own, weights) -> which weights a step moves, bool of their
      structure; None: all.
    check: (config, space) -> None; raises `UserError` if they do not fit.
    begin_epoch: (search, state, epoch, stages before) -> `Change`: growth,
      freezing, selection, stopping.
    learning_rate: (config, epoch, epochs at which stages began) -> of weights.
    derive: (method, search, state) -> what has been found; it may evaluate.
    every_edge: whether what derives has every edge of a cell, but those on
      which `none` is the strongest, also where the rule of the space keeps two.
    evaluates: whether `begin_epoch` selects one operation an edge by what the
      supernet is without others, so that scores have no say in what derives.
    numbers: (search, state, what it derives) -> what is told of an epoch beside
      losses and accuracies, numbers by name; of names that a search does not
      record itself.
    summary: when operations enter, for whoever watches.
    schedule: the settings by which they do, which a search by this method has
      in its config; None if all are there at once.
    inside: of a schedule that judges what is derived, so that what changes this
      goes inside; None: anything may go around.
  """

  name: str
  init: Callable[[jax.Array, Space], Params]
  weights: Callable[[Space, Params, Tables, Draw], Tables]
  scores: Callable[[Space, Params, Tables], Tables]
  prepare: Callable[[Space], Space] = lambda space: space
  partial: PartialChannels | None = None
  trained: Callable[[Params, Tables], Any] = lambda params, mask: mask
  trains_alphas: Callable[[Progress], jax.Array] | None = None
  sparse: bool = False
  weights_first: bool = False
  single_level: bool = False
  val_term: Term = no_term
  train_term: Term = no_term
  init_own: Callable[[Space, Any], Any] = lambda space, weights: None
  weight_gradient: Callable[..., tuple[Any, Any, Any]] | None = None
  moves: Callable[[Any, Any], Any] | None = None
  check: Callable[[SearchConfig, Space], None] = lambda config, space: None
  begin_epoch: Callable[[Search, SearchState, int, Sequence[Stage]], Change] = (
    all_enter
  )
  learning_rate: Callable[[SearchConfig, int, Sequence[int]], float] = (
    cosine_rate
  )
  derive: Callable[['Method', Search, SearchState], Genotype] = derive_by_scores
  every_edge: bool = False
  evaluates: bool = False
  numbers: Callable[[Search, SearchState, Genotype], Mapping[str, float]] = (
    lambda search, state, found: {}
  )
  summary: str = 'all operations at epoch 0'
  schedule: ScheduleConfig | None = None
  inside: Inside | None = None
