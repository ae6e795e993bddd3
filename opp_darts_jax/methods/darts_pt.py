"""DARTS-PT (Wang et al., "Rethinking Architecture Selection in Differentiable
NAS", ICLR 2021).

A search by DARTS, then a selection that does not read alphas: one edge after
the other keeps the operation without which the supernet is worst on D_val, then
nodes keep the two edges without which it is worst; between two choices the
supernet is trained on. Alphas may be held in the search ('blank').

The search is of first order, and the learning rate is a tenth of the first
while choices are made, constant as in the authors' code. Accuracies are by the
statistics of the batch, as theirs; images are not augmented, and what is left
of D_val beside whole batches does not count. Their spaces are without `none`:
`darts_without_none`.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.derive import PLACES
from opp_darts_jax.genotypes.graph import CellGraph
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.darts import darts
from opp_darts_jax.methods.growth import all_enter, check_entered
from opp_darts_jax.methods.method import Method
from opp_darts_jax.methods.rates import cosine_rate
from opp_darts_jax.methods.stages import Change, Search, Stage
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.tables import softmax_weights
from opp_darts_jax.spaces.space import Space, derive_two_edges


@memoized(8)
def darts_pt(
  search_epochs: int = 50, interval: int = 5, holds_alphas: bool = False
) -> Method:
  """DARTS, with operations and edges selected by what their removal costs.

  Args:
    search_epochs: before the first choice.
    interval: epochs from one choice to the next.
    holds_alphas: whether alphas stay as they begin.

  Raises:
    UserError: unless both numbers are at least 1.
  """
  if min(search_epochs, interval) < 1:
    raise UserError(
      'darts_pt takes search_epochs and interval of at least 1; got '
      f'search_epochs={search_epochs!r} and interval={interval!r}.'
    )

  def check(config: SearchConfig, space: Space) -> None:
    least = search_epochs + interval * (count_choices(space) - 1) + 1
    if config.epochs < least:
      raise UserError(
        f'epochs must be at least {least} for darts_pt to choose in space '
        f'{space.name!r}: {search_epochs} of search (search_epochs) and '
        f'{count_choices(space)} choices, {interval} epochs from one to the '
        f'next (interval); got {config.epochs}.'
      )
    check_entered(config, space, search_epochs, 'darts_pt chooses')

  def begin_epoch(
    search: Search, state: SearchState, epoch: int, stages: Sequence[Stage]
  ) -> Change:
    change = all_enter(search, state, epoch, stages)
    choice, between = divmod(epoch - search_epochs, interval)
    if choice < 0 or between:
      return change
    state = change.state
    if choice == 0:
      forgotten = jax.tree.map(jnp.zeros_like, state.weight_opt)
      state = state.replace(weight_opt=forgotten)
    numbers = np.random.default_rng((search.config.seed, epoch))
    for kind in search.space.kinds:
      state = choose(search, state, kind, choice, numbers)
    return change._replace(state=state)

  def learning_rate(
    config: SearchConfig, epoch: int, stage_epochs: Sequence[int]
  ) -> float:
    if epoch >= search_epochs:
      return config.weights.learning_rate / 10
    searching = dataclasses.replace(config, epochs=search_epochs)
    return cosine_rate(searching, epoch, stage_epochs)

  method = darts()._replace(
    name=f'darts_pt(search_epochs={search_epochs}, interval={interval}, '
    f'holds_alphas={holds_alphas})',
    check=check,
    begin_epoch=begin_epoch,
    learning_rate=learning_rate,
    evaluates=True,
  )
  if not holds_alphas:
    return method
  return method._replace(
    trains_alphas=lambda progress: jnp.zeros((), bool),
    trained=lambda alphas, mask: jax.tree.map(jnp.zeros_like, mask),
  )


def wide_nodes(space: Space) -> list[int]:
  """The nodes that have more edges than they keep; none if all are kept."""
  graph: CellGraph = space.graph
  if space.derive is not derive_two_edges:
    return []
  return [n for n in graph.intermediate if len(graph.into(n)) > PLACES]


def count_choices(space: Space) -> int:
  """One for every edge, then one for every node that keeps a part of its."""
  return space.graph.num_edges + len(wide_nodes(space))


def choose(
  search: Search,
  state: SearchState,
  kind: str,
  choice: int,
  numbers: np.random.Generator,
) -> SearchState:
  """The state after the next choice in cells of a kind.

  Args:
    search: evaluates.
    state: of it.
    kind: of the cells.
    choice: its number: those of edges come first, those of nodes next.
    numbers: draw an edge, or a node, of those that are left.
  """
  space = search.space
  mask_EK = np.array(state.mask[kind])
  if choice < space.graph.num_edges:
    left = np.flatnonzero(mask_EK.sum(1) > 1)
    if not len(left):
      return state
    edge = int(numbers.choice(left))
    columns = np.flatnonzero(mask_EK[edge]).tolist()
    accuracies = [
      without(search, state, kind, (edge, column)) for column in columns
    ]
    mask_EK[edge] = False
    mask_EK[edge, columns[int(np.argmin(accuracies))]] = True
  else:
    live = {
      node: [e for e in space.graph.into(node) if mask_EK[e].any()]
      for node in wide_nodes(space)
    }
    wide = [node for node, edges in live.items() if len(edges) > PLACES]
    if not wide:
      return state
    edges = live[numbers.choice(wide)]
    accuracies = [without(search, state, kind, (edge,)) for edge in edges]
    # The authors' code compares removals of one edge each, whatever has been
    # dropped before; of equal ones the last is dropped.
    order = np.argsort(accuracies, kind='stable')
    mask_EK[np.array(edges)[order[PLACES:]]] = False
  return state.replace(mask={**state.mask, kind: jnp.asarray(mask_EK)})


def without(
  search: Search, state: SearchState, kind: str, at: tuple[int, ...]
) -> float:
  """The accuracy on D_val when the weight at a place is 0, all else as it is.

  Args:
    search: evaluates.
    state: of it.
    kind: of the cells.
    at: (edge, operation), or (edge,) for all of its operations.
  """
  tables = softmax_weights(search.space, state.alphas, state.mask)
  tables[kind] = tables[kind].at[at].set(0.0)
  return search.accuracy(state, tables, by_batch=True)
