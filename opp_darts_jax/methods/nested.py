"""What a schedule keeps in a state, beside what the method in it keeps.

`SearchState.own` is one place. A schedule that needs one too nests both: its
method, and what this evaluates in a search, see states with the method's alone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods import answers
from opp_darts_jax.methods.method import (
  Draw,
  Method,
  Params,
  Term,
  derive_by_scores,
  no_term,
)
from opp_darts_jax.methods.stages import Change, Search, Stage
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.tables import Tables
from opp_darts_jax.spaces.space import Space

_METHOD, _SCHEDULE = 'method', 'schedule'


def kept(own: Any) -> Any:
  """What the schedule keeps, of `own`; None where there is no state yet."""
  return None if own is None else own[_SCHEDULE]


def with_kept(own: Any, value: Any) -> dict[str, Any]:
  """`own`, in which the schedule keeps this."""
  return {**own, _SCHEDULE: value}


def keep(state: SearchState, value: Any) -> SearchState:
  """The state, in which the schedule keeps this."""
  return state.replace(own=with_kept(state.own, value))


def nested(method: Method, keeps: Callable[[Space, Any], Any]) -> Method:
  """The method, as it is, in states that a schedule keeps something in.

  Args:
    method: whose functions see what it keeps alone.
    keeps: (space, weights of the supernet) -> what the schedule keeps at first,
      arrays; as `Method.init_own`.
  """

  def init_own(space: Space, weights: Any) -> dict[str, Any]:
    return {
      _METHOD: method.init_own(space, weights),
      _SCHEDULE: keeps(space, weights),
    }

  def weights(space: Space, params: Params, mask: Tables, draw: Draw) -> Tables:
    return method.weights(space, params, mask, _draw_within(draw))

  def within(term: Term) -> Term:
    if term is no_term:  # Steps look whether both terms are the same.
      return term
    return lambda space, params, mask, draw: term(
      space, params, mask, _draw_within(draw)
    )

  def weight_gradient(gradients, tables, own, draw):
    assert method.weight_gradient is not None
    found, grads, value = method.weight_gradient(
      gradients, tables, own[_METHOD], _draw_within(draw)
    )
    return found, grads, {**own, _METHOD: value}

  def moves(own, weights):
    assert method.moves is not None
    return method.moves(own[_METHOD], weights)

  def begin_epoch(
    search: Search, state: SearchState, epoch: int, stages: Sequence[Stage]
  ) -> Change:
    inner: Any = Within(search, state.own)
    change = answers.changed(method, inner, inner.shown(state), epoch, stages)
    found: Any = change.search
    if isinstance(found, Within):
      found = found.search
    return change._replace(state=inner.whole(change.state), search=found)

  def derive(own: Method, search: Search, state: SearchState) -> Genotype:
    inner: Any = Within(search, state.own)
    # A schedule may have other scores derived from.
    asked = method._replace(scores=own.scores)
    return answers.derived(asked, inner, inner.shown(state))

  def numbers(
    search: Search, state: SearchState, found: Genotype
  ) -> Mapping[str, float]:
    inner: Any = Within(search, state.own)
    return answers.told(method, inner, inner.shown(state), found)

  # By scores alone a state counts as it is, and others know this rule.
  by_scores = method.derive is derive_by_scores
  val_term = within(method.val_term)
  same = method.train_term is method.val_term
  return method._replace(
    init_own=init_own,
    weights=weights,
    val_term=val_term,
    train_term=val_term if same else within(method.train_term),
    weight_gradient=weight_gradient if method.weight_gradient else None,
    moves=moves if method.moves else None,
    begin_epoch=begin_epoch,
    derive=method.derive if by_scores else derive,
    numbers=numbers,
  )


def inside(
  method: Method, change: Callable[[Method], Method], what: str
) -> Method:
  """The method, with the one changed that a schedule in it judges.

  Args:
    method: that has such a schedule.
    change: of the method that the schedule is around.
    what: makes the change.

  Raises:
    UserError: if something is around that schedule.
  """
  assert method.inside is not None
  whole = method.inside.whole
  as_said = method._replace(
    name=whole.name, summary=whole.summary, inside=whole.inside
  )
  if as_said != whole:
    raise UserError(
      f'{what} goes inside early stopping, which judges what is derived, '
      'and nothing else may be around it; got the method '
      f'{method.name}.'
    )
  return method.inside.rebuilt(change)


def _draw_within(draw: Draw) -> Draw:
  return draw if draw.own is None else draw._replace(own=draw.own[_METHOD])


class Within:
  """A search as a method sees it that is in a schedule: `stages.Search`.

  Args:
    search: as the schedule sees it.
    own: what the schedule's state keeps, the method's part among it.
  """

  def __init__(self, search: Search, own: Mapping[str, Any]) -> None:
    self.search, self._own = search, own

  def shown(self, state: SearchState) -> SearchState:
    """The state, with what the method keeps alone."""
    return state.replace(own=state.own[_METHOD])

  def whole(self, state: SearchState) -> SearchState:
    """The state, with what the schedule keeps too."""
    return state.replace(own={**self._own, _METHOD: state.own})

  @property
  def config(self) -> SearchConfig:
    """Of the search."""
    return self.search.config

  @property
  def space(self) -> Space:
    """That it searches."""
    return self.search.space

  @property
  def key(self) -> jax.Array:
    """Of the whole search."""
    return self.search.key

  @property
  def per_epoch(self) -> int:
    """Steps of an epoch."""
    return self.search.per_epoch

  def fresh(self, key: jax.Array) -> SearchState:
    """An initial state."""
    return self.shown(self.search.fresh(key))

  def resized(
    self, layers: int | None = None, channels: int | None = None
  ) -> 'Within':
    """The search with a supernet of another size."""
    return Within(self.search.resized(layers, channels), self._own)

  def score(
    self, state: SearchState, mask: Mapping[str, np.ndarray], key: jax.Array
  ) -> float:
    """The mean training loss of what a mask has."""
    return self.search.score(self.whole(state), mask, key)

  def accuracy(
    self,
    state: SearchState,
    tables: Tables | None = None,
    by_batch: bool = False,
  ) -> float:
    """On D_val, with these operation weights instead of the method's."""
    return self.search.accuracy(self.whole(state), tables, by_batch)

  def curvature(self, state: SearchState) -> float:
    """The largest eigenvalue of the validation loss's Hessian."""
    return self.search.curvature(self.whole(state))
