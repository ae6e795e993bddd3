"""Does the supernet know which cells are good? At the end of a search.

Cells are drawn at random, the same ones for all searches of a space. Each is
evaluated as a part of the supernet: its operations with weight 1, all others
with 0, by the weights that the search ends with, on the whole batches of D_val
and by their statistics (running averages are those of the mixture).
What is correlated, by rank, are these accuracies and the test accuracies of the
same cells when trained, of which the space knows. A supernet that has lost
operations of these cells, by pruning, or has not got them yet, knows nothing of
them: there are no ranks then.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from opp_darts_jax.errors import UserError, check_type
from opp_darts_jax.files import write_json
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.tables import Tables
from opp_darts_jax.recorded import TRUTH_TEST
from opp_darts_jax.running.searches.live import LiveSearch
from opp_darts_jax.spaces import truth
from opp_darts_jax.spaces.space import Space

FILE = 'sampled_cells.json'


def check(space: Space, count: int) -> None:
  """Raises `UserError` unless a space derives cells, and knows of them.

  Args:
    space: it.
    count: of cells that something has to be known of.
  """
  if count and space.truth is None:
    raise UserError(
      f'truth_cells must be 0 in space {space.name!r}, which does not know '
      f'what its cells are worth trained (Space.truth); got {count}.'
    )
  (cell,) = sample(space, 1)
  check_type(f'what derive of the space {space.name!r} gives', cell, Genotype)
  truth.of_genotype(space, cell)


def sample(space: Space, count: int) -> list[Genotype]:
  """Cells of a space, by its rule from random operation weights."""
  rng = np.random.default_rng(0)
  mask = space.mask()
  return [
    space.derive(
      space,
      {kind: rng.uniform(0.1, 1, m.shape) * m for kind, m in mask.items()},
    )
    for _ in range(count)
  ]


def one_hot(space: Space, genotype: Genotype) -> Tables:
  """Operation weights under which a supernet is the network of a genotype.

  Args:
    space: of the supernet, as a method has prepared it.
    genotype: of a cell of every kind.
  """
  tables = {}
  for kind in space.kinds:
    table = np.zeros((space.graph.num_edges, len(space.names)), np.float32)
    for name, source, node in genotype[kind].edges:
      # An edge without any operation yet gives `none`, where there is none too.
      if name in space.names:
        row = space.graph.edge_index(source, node)
        table[row, space.names.index(name)] += 1  # It may come twice.
    tables[kind] = jnp.asarray(table)
  return tables


def has_all(
  space: Space, mask: Mapping[str, np.ndarray], genotype: Genotype
) -> bool:
  """Whether a supernet of this mask has every operation of a genotype.

  But those that carry nothing, `none`: nothing is as well without them.
  """
  names = space.names
  return all(
    mask[cell.kind][
      space.graph.edge_index(edge.source, edge.node),
      names.index(edge.operation),
    ]
    for cell in genotype.cells
    for edge in cell.edges
    if space.operation(edge.operation).carries
  )


def of_search(search: LiveSearch, state: SearchState) -> dict[str, Any]:
  """What the supernet of a search thinks of cells, against what is known.

  Args:
    search: at its end; `config.truth_cells` of its cells are drawn.
    state: of it.

  Returns:
    For its results: `spearman_DATA` and `kendall_DATA`, for each test accuracy
    that the space knows; None where all cells are alike, or if operations of
    one are not in the supernet. The cells and their accuracies are written into
    `sampled_cells.json`, null for such a cell.
  """
  count = search.config.truth_cells
  if not count:
    return {}
  from scipy import stats  # Half a second to import.

  supernet = search.method.prepare(search.space)
  mask = jax.device_get(state.mask)
  rows = []
  for genotype in sample(search.space, count):
    search.run.stop_if_asked(int(state.step))
    accuracy = None
    if has_all(search.space, mask, genotype):
      tables = one_hot(supernet, genotype)
      accuracy = search.accuracy(state, tables, by_batch=True)
    rows.append(
      {
        'text': search.space.to_text(genotype),
        'supernet_accuracy': accuracy,
        **truth.of_genotype(search.space, genotype),
      }
    )
  write_json(search.run.folder / FILE, rows)
  ours = [row['supernet_accuracy'] for row in rows]
  found: dict[str, Any] = {}
  for name in (name for name in rows[0] if name.startswith(TRUTH_TEST)):
    theirs, data = [row[name] for row in rows], name.removeprefix(TRUTH_TEST)
    varied = len(set(ours)) > 1 and len(set(theirs)) > 1 and None not in ours
    for measure, function in (
      ('spearman', stats.spearmanr),
      ('kendall', stats.kendalltau),
    ):
      value = float(function(ours, theirs).statistic) if varied else None
      found[f'{measure}_{data}'] = value
  return found
