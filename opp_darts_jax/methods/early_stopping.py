"""Early stopping around any method: a search ends before it collapses.

By the rule 'eigenvalue' of RobustDARTS (Zela et al., "Understanding and
Robustifying Differentiable Architecture Search", ICLR 2020) it stops once the
largest eigenvalue of the Hessian of the validation loss for the alphas,
averaged over five measures, has grown by a factor over eight epochs, and gives
the cells of the epoch at which the earlier average was: they generalise best
while it is small. The Hessian is of a batch of D_val that the epoch decides,
and its eigenvalue is by Lanczos iterations, to three digits.

By the rules of DARTS+ (Liang et al., "DARTS+: Improved Differentiable
Architecture Search with Early Stopping", 2019) it stops, 'skips' (criterion 1),
once the normal cell that is derived has two skip connections or more, and gives
the cells of the epoch before; or, 'order' (criterion 2), once on every
edge the operations with weights have kept their order for so many epochs, in
which an edge had several of them.

An epoch in which a method lets its alphas rest, a warm-up, is neither judged
nor remembered: nothing is known of its cells. The last epoch is judged as what
it has left is derived, which is then that of before if the search would end.
"""

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.errors import UserError, check_choice
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.genotypes.pairs import REDUCE
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods import answers
from opp_darts_jax.methods.method import Inside, Method
from opp_darts_jax.methods.moving import check_trained, has_moved
from opp_darts_jax.methods.nested import keep, kept, nested
from opp_darts_jax.methods.signs import APART, WINDOW, growth_of
from opp_darts_jax.methods.stages import Change, Search, Stage
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.spaces.space import Space

_FOUND = WINDOW // 2 + APART + 1  # From the centre of the earlier average on.
_NEVER = -1  # An epoch of no measure yet.
# The rules, each with the settings that it goes by.
RULES: Mapping[str, Sequence[str]] = types.MappingProxyType(
  {
    'eigenvalue': ('factor', 'period', 'first_epoch'),
    'skips': ('max_skips', 'first_epoch'),
    'order': ('stable_epochs', 'first_epoch'),
  }
)


class Settings(NamedTuple):
  """The arguments of `early_stopping`, which says what they are."""

  rule: str
  max_skips: int
  factor: float
  period: int
  first_epoch: int
  stable_epochs: int


class Rule(NamedTuple):
  """When a search stops, and what it gives then.

  Attributes:
    measures: how many are kept, and are needed to judge.
    found: alphas are kept of so many measures, the last ones, and the oldest of
      them are given.
    period: epochs from one measure to the next.
    measure: (search, state) -> a number.
    stops: the measures, the oldest first -> whether the search ends.
  """

  measures: int
  found: int
  period: int
  measure: Callable[[Search, SearchState], float]
  stops: Callable[[np.ndarray], bool]


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


def check_settings(settings: Settings) -> None:
  """Raises `UserError` on another rule, or numbers that are too small."""
  check_choice('rule of early_stopping', settings.rule, RULES)
  _, max_skips, factor, period, _, stable_epochs = settings
  if not factor > 0 or min(period, stable_epochs) < 1 or max_skips < 0:
    raise UserError(
      'early_stopping takes factor above 0, period of at least 1, '
      'stable_epochs of at least 1 and max_skips of at least 0; got '
      f'factor={factor!r}, period={period!r}, stable_epochs={stable_epochs!r} '
      f'and max_skips={max_skips!r}.'
    )


def check_rule(
  rule: str, method: Method, config: SearchConfig, space: Space
) -> None:
  """Raises `UserError` unless a rule goes with a method, a size and a space."""
  if rule == 'eigenvalue' and method.sparse:
    raise UserError(
      'early_stopping by eigenvalue takes a loss that is smooth in the '
      f'alphas; {method.name} samples one operation an edge: take rule='
      "'skips'."
    )
  if rule == 'order' and not _several_with_weights(space, space.mask()):
    raise UserError(
      'early_stopping by order takes a space with edges that choose between '
      f'operations with weights; space {space.name!r} has none.'
    )
  size = config.layers, config.channels
  if rule == 'skips' and (
    lacking := space.lacking(*size, kinds=_judged_by_skips(space))
  ):
    raise UserError(
      'early_stopping by skips takes a supernet with the cells that it judges; '
      f'{lacking}.'
    )


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


def rule_of(settings: Settings, method: Method) -> Rule:
  """The rule that settings name; `method` derives the cells that it judges."""
  if settings.rule == 'eigenvalue':
    return by_eigenvalue(settings.factor, settings.period)
  if settings.rule == 'order':
    return by_order(settings.stable_epochs)
  return by_skips(method, settings.max_skips)


def by_eigenvalue(factor: float, period: int) -> Rule:
  """Two averages, eight epochs apart if the period is two (section 5.1)."""
  return Rule(
    WINDOW + APART,
    _FOUND,
    period,
    lambda search, state: search.curvature(state),
    lambda measures: growth_of(measures) > factor,
  )


def by_skips(method: Method, max_skips: int) -> Rule:
  """More skip connections than allowed in a cell that is no reduction cell."""

  def measure(search: Search, state: SearchState) -> float:
    found = answers.derived(method, search, state)
    return max(map(found.num_skips, _judged_by_skips(search.space)))

  return Rule(2, 2, 1, measure, lambda measures: measures[-1] > max_skips)


def _judged_by_skips(space: Space) -> list[str]:
  return [kind for kind in space.kinds if kind != REDUCE]


def by_order(stable_epochs: int) -> Rule:
  """The operations with weights keep their order on every edge."""

  def measure(search: Search, state: SearchState) -> float:
    before = jax.tree.map(lambda leaf: leaf[-1], kept(state.own)['found'])
    with_weights = _with_weights(search.space)

    def order(alphas: Any, mask: Any, kind: str) -> np.ndarray:
      active_EK = np.asarray(mask[kind]) & with_weights
      ranked = np.where(active_EK, np.asarray(alphas[kind]), -np.inf)
      order_EK = np.argsort(-ranked, 1, stable=True)
      return np.where(np.take_along_axis(active_EK, order_EK, 1), order_EK, -1)

    # Where nothing is to be chosen yet, no order is kept.
    return float(
      _several_with_weights(search.space, state.mask)
      and all(
        np.array_equal(
          order(before['alphas'], before['mask'], kind),
          order(state.alphas, state.mask, kind),
        )
        for kind in search.space.kinds
      )
    )

  return Rule(
    stable_epochs, 1, 1, measure, lambda measures: bool(np.all(measures == 1))
  )


def _with_weights(space: Space) -> np.ndarray:
  return np.array([operation.parametric for operation in space.operations])


def _several_with_weights(space: Space, mask: Mapping[str, Any]) -> bool:
  """Whether an edge has more than one operation with weights in a mask."""
  of = [np.asarray(mask[kind]) & _with_weights(space) for kind in space.kinds]
  return any((active_EK.sum(1) > 1).any() for active_EK in of)


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
