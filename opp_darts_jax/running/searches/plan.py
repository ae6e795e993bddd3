"""What a search says before it begins: what it is given, and what it will do.

The same lines are what `--dry_run` prints.
"""

import pathlib

import jax

from opp_darts_jax.networks.network import count_weights
from opp_darts_jax.running.runs.plan import (
  data_lines,
  lacking_lines,
  seeds_line,
  title,
)
from opp_darts_jax.running.searches.live import LiveSearch


def of_search(
  search: LiveSearch, workdir: str | pathlib.Path | None = None
) -> str:
  """What a search will do, in a few lines.

  Args:
    search: it, begun or not.
    workdir: of its run; None if there is none.
  """
  config, space = search.config, search.space
  # The state has the weights of all operations, whichever have entered.
  weights = jax.eval_shape(search.programs.init, search.key).weights
  halves = len(search.data.train_rows), len(search.data.val_rows)
  step = search.run.step if search.run else 0
  seeds = config.search_seeds
  lines = [
    title('Search', workdir, step),
    *data_lines(
      search.images, f'{halves[0]} images for weights, {halves[1]} for alphas'
    ),
    f'  space     {config.space}: {", ".join(space.names)}',
    f'  supernet  {config.layers} cells, {space.graph.nodes} nodes, '
    f'{config.channels} channels: {count_weights({"params": weights}):,} '
    'weights when complete',
    *lacking_lines(
      space.lacking(config.layers, config.channels),
      'what is reported of it is its start',
    ),
    f'  method    {search.method.name}',
    f'  stages    {search.method.summary}',
    f'  steps     {config.epochs} epochs of {search.per_epoch} steps, batch '
    f'{config.batch_size}, {config.order} order alpha steps',
  ]
  if seeds:
    lines.append(seeds_line(seeds, 'searches together'))
  return '\n'.join(lines)
