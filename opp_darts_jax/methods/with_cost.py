"""A cost term around any method: a search that is held to a target.

What is added to the loss of the alphas is a price times the expected cost of
the network that derives, as a share of the target. The cost is linear in what
is on the edges (networks/costs.py), as in FBNet (Wu et al., CVPR 2019) and
ProxylessNAS (Cai et al., ICLR 2019), the expectation that of a cell drawn from
the method's scores (expected_cost.py). Of scores that have decided it is the
cost of the cell.

The price is a Lagrange multiplier of the constraint cost = target. It is set as
each epoch begins, by the exact cost of what the alphas alone derive then: by
the method of multipliers (Bertsekas, "Constrained Optimization and Lagrange
Multiplier Methods", 1982), the sum of all violations so far plus the last one.
A target above what would be derived without it makes dearer cells, too.

Alphas that are nearly equal let a cell's cost jump from epoch to epoch, so what
is left of the violation is taken away as cells are derived: from scores, each
times exp(-factor * cost / target), with the smallest factor that finds a cell
close to the target. It is 0 where the alphas alone have one. One operation may
be a tenth of a network's cost: where a change on one edge leads past the
target, this edge keeps its factor, and those of the others go on.
"""

import math
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.expected_cost import expected, reach
from opp_darts_jax.methods.method import Draw, Method, Params, scores_of
from opp_darts_jax.methods.moving import check_trained, has_moved
from opp_darts_jax.methods.nested import inside, keep, kept, nested
from opp_darts_jax.methods.stages import Change, Search, Stage
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.tables import Tables
from opp_darts_jax.networks.costs import Costs
from opp_darts_jax.spaces.space import Space

UNITS = types.MappingProxyType(
  {
    'multiply_adds': 'multiply-adds',
    'weights': 'weights',
    'latency': 'seconds',
  }
)
_CLOSE = 0.01  # Of the target: a cell this close is left as it is.
_FARTHEST = 500.0  # A factor at which costs all but decide.
_LARGEST = 600.0  # An exponent whose power, and sums of it, are finite.
_HALVINGS = 30


@memoized(8)
def with_cost(
  method: Method, costs: Costs, target: float, strength: float = 1.0
) -> Method:
  """The method, held to a cost of what it derives.

  Args:
    method: what to search by.
    costs: of the networks that are derived.
    target: in the units of the costs.
    strength: of the price that a violation by the whole target has.

  Raises:
    UserError: if something is around early stopping, inside which this goes.
  """
  if method.inside is not None:
    return inside(
      method,
      lambda own: with_cost(own, costs, target, strength),
      'cost.target',
    )
  single = method.single_level
  inner = nested(method, init_kept)
  own_term = inner.train_term if single else inner.val_term

  def term(
    space: Space, params: Params, mask: Tables, draw: Draw
  ) -> jax.Array | float:
    before = own_term(space, params, mask, draw)
    if draw.own is None:
      return before
    scores = method.scores(space, params, mask)
    found = expected(space, scores, costs, method.every_edge)
    return before + kept(draw.own)['price'] * found / target

  def check(config: SearchConfig, space: Space) -> None:
    method.check(config, space)
    check_target(method, space, costs, target)

  def begin_epoch(
    search: Search, state: SearchState, epoch: int, stages: Sequence[Stage]
  ) -> Change:
    # While alphas rest, a price has no effect.
    if epoch and has_moved(method, search, state):
      alone = costs.of(inner.derive(inner, search, state))
      # Operations that are not there yet are not to be paid for.
      mask = jax.device_get(state.mask)
      goal = np.clip(target, *reach(method, search.space, costs, mask))
      violation = (alone - goal) / target
      state = keep(state, priced(kept(state.own), violation, strength))
    return inner.begin_epoch(search, state, epoch, stages)

  def derive(own: Method, search: Search, state: SearchState) -> Genotype:
    space = search.space
    # As doubles, whose exponents are wide enough.
    scores = jax.tree.map(
      lambda table: np.asarray(table, np.float64),
      scores_of(own, space, state),
    )

    def at(factors: np.ndarray) -> Genotype:
      if not factors.any():
        return inner.derive(own, search, state)
      cheap: Any = cheapened(scores, factors, costs, target)
      asked = own._replace(scores=lambda space, params, mask: cheap)
      return inner.derive(asked, search, state)

    shape = len(scores), space.graph.num_edges
    return closest(at, lambda found: costs.of(found) / target - 1, shape)

  def numbers(
    search: Search, state: SearchState, found: Genotype
  ) -> dict[str, float]:
    before = inner.numbers(search, state, found)
    added = {
      'cost': costs.of(found),
      'cost_target': target,
      'cost_of_alphas': costs.of(inner.derive(inner, search, state)),
      'cost_price': float(kept(state.own)['price']),
    }
    taken = [name for name in added if name in before]
    if taken:
      raise UserError(
        f'Expected other names in what numbers of the method {method.name!r} '
        f'gives than what cost.target tells: {", ".join(taken)}.'
      )
    return {**before, **added}

  held = inner._replace(
    name=f'{method.name}, held to {target:g} {UNITS[costs.quantity]}',
    check=check,
    begin_epoch=begin_epoch,
    derive=derive,
    numbers=numbers,
  )
  if single:
    return held._replace(train_term=term)
  return held._replace(val_term=term)


def check_target(
  method: Method, space: Space, costs: Costs, target: float
) -> None:
  """Raises `UserError` unless a method can be held to a target in a space."""
  check_trained(method, space, 'cost.target')
  if method.evaluates:
    raise UserError(
      'cost.target goes with methods that derive by their alphas; '
      f'{method.name} selects operations by their accuracy.'
    )
  least, most = reach(method, space, costs, space.mask())
  if not least <= target <= most:
    unit = UNITS[costs.quantity]
    raise UserError(
      f'cost.target must be from {least:.4g} to {most:.4g} {unit}, the '
      f'cheapest and the dearest network of space {space.name!r} at the '
      f'cost.layers and cost.channels given; got {target:g}.'
    )


def cheapened(
  scores: Mapping[str, np.ndarray],
  factors: np.ndarray,
  costs: Costs,
  target: float,
) -> dict[str, np.ndarray]:
  """The scores {kind: (E, K)}, less where it costs: by factors (kinds, E)."""
  exponents = {
    kind: -factor_E[:, None] * costs.table(kind) / target
    for kind, factor_E in zip(scores, factors)
  }
  return {
    kind: table * np.exp(np.minimum(exponents[kind], _LARGEST))
    for kind, table in scores.items()
  }


def init_kept(space: Space, weights: Any) -> dict[str, jax.Array]:
  """No price at first."""
  del space, weights
  return {'multiplier': jnp.zeros(()), 'price': jnp.zeros(())}


def priced(
  known: dict[str, jax.Array], violation: float, strength: float
) -> dict[str, jax.Array]:
  """The multiplier and the price after an epoch that ended in a violation."""
  multiplier = known['multiplier'] + strength * violation
  return {
    'multiplier': multiplier,
    'price': multiplier + strength * violation,
  }


def closest(
  at: Callable[[np.ndarray], Genotype],
  violation: Callable[[Genotype], float],
  shape: tuple[int, ...],
) -> Genotype:
  """What is found with the smallest factors that is close to the target.

  By bisection of one factor for all rows: the larger, the cheaper is what is
  found. Where that jumps past the target by one row, this row stays as it was
  before, and all is done again with the others. Where nothing is close, what is
  closest.

  Args:
    at: factors, one a row -> what is found with them.
    violation: of what is found, (cost - target) / target.
    shape: of the factors.
  """
  found = at(np.zeros(shape))
  off = violation(found)
  best = abs(off), found

  def before(factors: np.ndarray) -> bool:
    """Whether the target is still ahead of what is found; that may be best."""
    nonlocal best
    found = at(factors)
    left = violation(found)
    best = min(best, (abs(left), found), key=lambda pair: pair[0])
    return left * off > 0

  factors, free = np.zeros(shape), np.ones(shape, bool)
  inside = 0.0
  while best[0] > _CLOSE and free.any():
    outside = math.copysign(_FARTHEST, off)
    if before(np.where(free, outside, factors)):
      break  # Nothing that there is meets the target.
    for _ in range(_HALVINGS):
      middle = (inside + outside) / 2
      if before(np.where(free, middle, factors)):
        inside = middle
      else:
        outside = middle
      if best[0] <= _CLOSE:
        return best[1]
    factors = np.where(free, inside, factors)
    for row in zip(*np.nonzero(free)):
      stays = np.where(free, outside, factors)
      stays[row] = inside
      if before(stays):
        free[row] = False
        break
    else:
      break
  return best[1]
