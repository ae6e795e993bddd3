"""The rules of early stopping: what they measure, and when it is enough.

'eigenvalue' is RobustDARTS's (Zela et al., "Understanding and Robustifying
Differentiable Architecture Search", ICLR 2020): a search stops once the largest
eigenvalue of the Hessian of the validation loss for the alphas, averaged over
five measures, has grown by a factor over eight epochs, and gives the cells of
the epoch at which the earlier average was: they generalise best while it is
small. The Hessian is of a batch of D_val that the epoch decides, and its
eigenvalue is by Lanczos iterations, to three digits.

'skips' and 'order' are the criteria 1 and 2 of DARTS+ (Liang et al., "DARTS+:
Improved Differentiable Architecture Search with Early Stopping", 2019): it
stops once the normal cell that is derived has two skip connections or more, and
gives the cells of the epoch before; or once on every edge the operations with
weights have kept their order for so many epochs, in which an edge had several
of them.
"""

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import UserError, check_choice
from opp_darts_jax.genotypes.pairs import REDUCE
from opp_darts_jax.methods import answers
from opp_darts_jax.methods.method import Method
from opp_darts_jax.methods.nested import kept
from opp_darts_jax.methods.signs import APART, WINDOW, growth_of
from opp_darts_jax.methods.stages import Search
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.spaces.space import Space

_FOUND = WINDOW // 2 + APART + 1  # From the centre of the earlier average on.
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
