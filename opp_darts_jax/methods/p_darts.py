"""P-DARTS (Chen et al., "Progressive Differentiable Architecture Search:
Bridging the Depth Gap between Search and Evaluation", ICCV 2019).

Three stages of equal length: from each to the next the supernet gets deeper and
every edge loses its weakest operations; weights, alphas and optimisers begin
anew. Skip connections of stride 1 are followed by dropout that decays within a
stage, and the normal cell keeps at most so many of them. Each depth is a
program of its own: three are compiled.

What deviates: evaluations within a search, which decide nothing, have the
epoch's dropout too, and every epoch has its own order of D_val. Where the limit
takes a skip connection away, the operation that follows it on the edge is by
the same alphas, as in the authors' code.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.cell import NONE, SKIP
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.genotypes.pairs import REDUCE
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.growth import all_enter, check_entered, entry_key
from opp_darts_jax.methods.method import Method, Progress, scores_of
from opp_darts_jax.methods.rates import cosine_rate
from opp_darts_jax.methods.stages import Change, Search, Stage
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.tables import softmax_weights, strongest
from opp_darts_jax.operations.operation import Operation
from opp_darts_jax.spaces.space import Space

STAGES = 3
_RATE = 'rate'


@memoized(8)
def p_darts(
  more_layers: tuple[int, ...] = (6, 12),
  keep: tuple[int, ...] = (5, 3),
  dropout: tuple[float, ...] = (0.1, 0.4, 0.7),
  warmup_epochs: int = 10,
  max_skips: int = 2,
) -> Method:
  """DARTS in three stages, ever deeper and of ever fewer operations.

  Args:
    more_layers: what the second and the third stage add to the first's layers.
    keep: operations that an edge has in the second and in the third stage.
    dropout: rate after skip connections as each stage begins.
    warmup_epochs: of each stage, in which alphas rest.
    max_skips: skip connections that the normal cell may have.

  Raises:
    UserError: on numbers below 0, no operation kept, or not as many of each as
      there are stages.
  """
  given = len(more_layers), len(keep), len(dropout)
  fits = given == (STAGES - 1, STAGES - 1, STAGES) and min(keep) >= 1
  least = min(*more_layers, *dropout, warmup_epochs, max_skips)
  if not fits or least < 0 or max(dropout) >= 1:
    raise UserError(
      'p_darts takes more_layers and keep of the second and the third stage, '
      'keep of at least 1, dropout in [0, 1) of all three, and no number below '
      f'0; got more_layers={more_layers!r}, keep={keep!r}, '
      f'dropout={dropout!r}, warmup_epochs={warmup_epochs!r} and '
      f'max_skips={max_skips!r}.'
    )

  def check(config: SearchConfig, space: Space) -> None:
    if config.epochs % STAGES or config.epochs // STAGES <= warmup_epochs:
      raise UserError(
        f'epochs must be a multiple of {STAGES}, for the stages of p_darts, '
        f'each of more than {warmup_epochs}, in which alphas rest '
        f'(warmup_epochs); got {config.epochs}.'
      )
    second = config.epochs // STAGES
    check_entered(config, space, second, 'the second stage of p_darts')

  def begun(progress: Progress) -> jax.Array:
    return progress.epoch % (progress.epochs // STAGES) >= warmup_epochs

  def begin_epoch(
    search: Search, state: SearchState, epoch: int, stages: Sequence[Stage]
  ) -> Change:
    length = search.config.epochs // STAGES
    at, within = divmod(epoch, length)
    at = min(at, STAGES - 1)
    change = all_enter(search, state, epoch, stages)
    if at and not within:
      layers = search.config.layers + more_layers[at - 1]
      layers -= more_layers[at - 2] if at > 1 else 0
      deeper = search.resized(layers=layers)
      fresh = deeper.fresh(entry_key(search.key, epoch)[0])
      scores = softmax_weights(search.space, state.alphas, state.mask)
      mask = strongest(scores, state.mask, keep[at - 1])
      fresh = fresh.replace(step=state.step, mask=mask)
      change = change._replace(state=fresh, search=deeper)
    rate = rate_of(dropout[at], within, length, warmup_epochs)
    weights = with_rate(change.state.weights, rate)
    return change._replace(state=change.state.replace(weights=weights))

  def learning_rate(
    config: SearchConfig, epoch: int, stage_epochs: Sequence[int]
  ) -> float:
    length = config.epochs // STAGES
    of_stage = dataclasses.replace(config, epochs=length)
    at, within = divmod(epoch, length)
    own_epochs = [e % length for e in stage_epochs if e // length == at]
    return cosine_rate(of_stage, within, own_epochs)

  def derive(method: Method, search: Search, state: SearchState) -> Genotype:
    space = search.space
    scores = scores_of(method, space, state)
    return with_few_skips(space, scores, max_skips)

  return darts()._replace(
    name=f'p_darts(more_layers={more_layers}, keep={keep}, dropout={dropout}, '
    f'warmup_epochs={warmup_epochs}, max_skips={max_skips})',
    prepare=with_dropout,
    trains_alphas=begun if warmup_epochs else None,
    moves=lambda own, weights: rates_rest(weights),
    check=check,
    begin_epoch=begin_epoch,
    learning_rate=learning_rate,
    derive=derive,
    summary=f'all operations at epoch 0; {keep} stay in later stages',
  )


def rate_of(first: float, epoch: int, length: int, warmup_epochs: int) -> float:
  """Of dropout in an epoch of a stage: linear at first, then exponential."""
  if epoch < warmup_epochs:
    return first * (length - epoch - 1) / length
  return first * float(np.exp(-0.2 * (epoch - warmup_epochs)))


def with_dropout(space: Space) -> Space:
  """The space, whose skip connections of stride 1 are followed by dropout."""
  return dataclasses.replace(
    space,
    operations=tuple(
      dropping(o) if o.name == SKIP else o for o in space.operations
    ),
  )


def dropping(skip: Operation) -> Operation:
  """A skip connection with dropout, whose rate is one of its weights.

  So the rate is data, and one program serves all epochs of a stage.
  """

  def init(key, copies, channels, stride):
    return {
      **skip.init(key, copies, channels, stride),
      _RATE: jnp.zeros(copies),
    }

  def apply(params, x, norm, stride, key):
    if stride != 1:
      return skip.apply(params, x, norm, stride, key)
    keep = 1 - jax.lax.stop_gradient(params[_RATE])
    kept = chosen(key, keep, x.shape)
    return jnp.where(kept, x / keep.astype(x.dtype), 0)

  return skip._replace(
    init=init,
    apply=apply,
    shared=lambda stride: False,
    identity=lambda stride: False,
    random=True,
    fused=lambda stride: None,
  )


def chosen(
  key: jax.Array, share: jax.Array, shape: tuple[int, ...]
) -> jax.Array:
  """True with a chance of `share`, to 1 / 65536: a draw gives two of them.

  On a CPU draws are what dropout takes.
  """
  channels = shape[-1]
  bits = jax.random.bits(key, (*shape[:-1], -(-channels // 2)), jnp.uint32)
  halves = jax.lax.bitcast_convert_type(bits, jnp.uint16)
  return halves.reshape(*shape[:-1], -1)[..., :channels] < share * 65536


def with_rate(weights: Any, rate: float) -> Any:
  """The weights, with this rate of dropout."""
  return jax.tree_util.tree_map_with_path(
    lambda path, leaf: jnp.full_like(leaf, rate) if _is_rate(path) else leaf,
    weights,
  )


def rates_rest(weights: Any) -> Any:
  """Which weights a step moves: all but rates, which would decay."""
  return jax.tree_util.tree_map_with_path(
    lambda path, leaf: jnp.full(leaf.shape, not _is_rate(path)), weights
  )


def _is_rate(path: Any) -> bool:
  names = [getattr(part, 'key', '') for part in path]
  return names[1:] == [SKIP, _RATE]


def with_few_skips(
  space: Space, scores: dict[str, np.ndarray], most: int
) -> Genotype:
  """What the space derives, with at most so many skips in normal cells.

  While there are more, the weakest of those that are kept is forbidden on its
  edge, and all is derived anew: another edge may be kept instead.
  """
  left = {kind: np.array(table) for kind, table in scores.items()}
  if NONE in space.names:
    for table in left.values():
      table[:, space.names.index(NONE)] = 0.0
  found = space.derive(space, left)
  if SKIP not in space.names:
    return found
  column = space.names.index(SKIP)
  for kind in space.kinds:
    while kind != REDUCE and found.num_skips(kind) > most:
      kept = [e for e in found[kind].edges if e.operation == SKIP]
      rows = [space.graph.edge_index(e.source, e.node) for e in kept]
      weakest = rows[int(np.argmin(left[kind][rows, column]))]
      left[kind][weakest, column] = 0.0
      found = space.derive(space, left)
  return found
