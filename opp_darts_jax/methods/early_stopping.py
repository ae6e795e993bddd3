"""Early stopping around any method: a search ends before it collapses.

stopping_rules.py has the rules: of RobustDARTS, by the growth of an eigenvalue,
and of DARTS+, by skip connections or an order that lasts.

An epoch in which a method lets its alphas rest, a warm-up, is neither judged
nor remembered: nothing is known of its cells. The last epoch is judged as what
it has left is derived, which is then that of before if the search would end.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.method import Inside, Method
from opp_darts_jax.methods.moving import check_trained, has_moved
from opp_darts_jax.methods.nested import keep, kept, nested
from opp_darts_jax.methods.stages import Change, Search, Stage
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.stopping_rules import (
  RULES,
  Rule,
  Settings,
  check_rule,
  check_settings,
  rule_of,
)
from opp_darts_jax.spaces.space import Space

_NEVER = -1  # An epoch of no measure yet.


@memoized(16)
def early_stopping(
  method: Method,
  schedule: ScheduleConfig,
  rule: str = 'eigenvalue',
  max_skips: int = 1,
  factor: float = 1.3,
  period: int = 2,
  first_epoch: int = 10,
  stable_epochs: int = 10,
) -> Method:
  """The method, which stops when a rule says so.

  Args:
    method: what to search by.
    schedule: of the config; nothing of it counts here.
    rule: 'eigenvalue', 'skips' or 'order'.
    max_skips: for 'skips', how many skip connections a normal cell may have.
    factor: for 'eigenvalue', of the growth at which it stops.
    period: for 'eigenvalue', epochs from one measure to the next; the last
      epoch is measured, too.
    first_epoch: the earliest whose cells may be given; none before it end the
      search, and cells may be as they like until then.
    stable_epochs: for 'order', in how many nothing changes.

  Raises:
    UserError: on another rule; unless factor is above 0, period and
      stable_epochs at least 1 and max_skips at least 0.
  """
  settings = Settings(
    rule, max_skips, factor, period, first_epoch, stable_epochs
  )
  check_settings(settings)

  def check(config: SearchConfig, space: Space) -> None:
    method.check(config, space)
    check_trained(method, space, 'early_stopping')
    check_rule(rule, method, config, space)

  inner = nested(method, lambda space, weights: init_kept(own, method, space))
  own = rule_of(settings, inner)

  def begin_epoch(
    search: Search, state: SearchState, epoch: int, stages: Sequence[Stage]
  ) -> Change:
    # What the epoch before has left is judged, before anything enters.
    state, ends = judged(own, settings, method, search, state, epoch - 1)
    if ends:
      return Change(with_oldest(state), stop=True)
    return inner.begin_epoch(search, state, epoch, stages)

  def derive(asked: Method, search: Search, state: SearchState) -> Genotype:
    last = search.config.epochs - 1
    # No epoch begins after the last one, which is judged as its cells are made.
    if state.step >= search.per_epoch * (last + 1):
      state, ends = judged(own, settings, method, search, state, last)
      state = with_oldest(state) if ends else state
    return inner.derive(asked, search, state)

  arguments = [f'{name}={getattr(settings, name)}' for name in RULES[rule]]
  stopping = inner._replace(
    name=f'early_stopping(rule={rule!r}, {", ".join(arguments)}) {method.name}',
    check=check,
    begin_epoch=begin_epoch,
    derive=derive,
    summary=f'{method.summary}; it may stop early, by {rule}',
  )

  def rebuilt(change: Callable[[Method], Method]) -> Method:
    return early_stopping(change(method), schedule, *settings)

  return stopping._replace(inside=Inside(stopping, rebuilt))


def init_kept(rule: Rule, method: Method, space: Space) -> dict[str, Any]:
  """No measures at first, and room for what is kept with them."""
  key = jax.random.key(0)
  params = jax.eval_shape(lambda: method.init(key, space))
  given = {'alphas': params, 'mask': jax.tree.map(jnp.asarray, space.mask())}
  return {
    'measures': jnp.zeros(rule.measures),
    'epochs': jnp.full(rule.measures, _NEVER, jnp.int32),
    'found': jax.tree.map(
      lambda leaf: jnp.zeros((rule.found, *leaf.shape), leaf.dtype), given
    ),
  }


def judged(
  rule: Rule,
  settings: Settings,
  method: Method,
  search: Search,
  state: SearchState,
  epoch: int,
) -> tuple[SearchState, bool]:
  """The state that remembers an epoch, and whether the search ends by it."""
  is_last = epoch == search.config.epochs - 1
  due = epoch >= 0 and (epoch % rule.period == 0 or is_last)
  if not due or not has_moved(method, search, state):
    return state, False
  known = remember(kept(state.own), rule.measure(search, state), epoch, state)
  epochs = np.asarray(known['epochs'])
  may_end = _NEVER not in epochs and epochs[-rule.found] >= settings.first_epoch
  ends = may_end and rule.stops(np.asarray(known['measures']))
  return keep(state, known), bool(ends)


def remember(
  known: Mapping[str, Any], measured: float, epoch: int, state: SearchState
) -> dict[str, Any]:
  """What is kept after the measure of an epoch; the oldest one goes."""

  def append(old, new):
    return jnp.concatenate([old[1:], jnp.asarray(new, old.dtype)[None]])

  given = {'alphas': state.alphas, 'mask': state.mask}
  return {
    'measures': append(known['measures'], measured),
    'epochs': append(known['epochs'], epoch),
    'found': jax.tree.map(append, known['found'], given),
  }


def with_oldest(state: SearchState) -> SearchState:
  """The state, with the oldest alphas that are kept of it."""
  found = kept(state.own)['found']
  return state.replace(**jax.tree.map(lambda leaf: leaf[0], found))
