"""What runs say before they begin: what they are given, and what they will do.

The same lines are what `--dry_run` prints.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.data.stream import Streamed
from opp_darts_jax.networks.network import count_weights
from opp_darts_jax.running import console, truth
from opp_darts_jax.running.live_search import LiveSearch
from opp_darts_jax.running.train_task import TrainTask

CONTACT_SHEET = 'contact_sheet.png'


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
    _title('Search', workdir, step),
    *_data(
      search.images, f'{halves[0]} images for weights, {halves[1]} for alphas'
    ),
    f'  space     {config.space}: {", ".join(space.names)}',
    f'  supernet  {config.layers} cells, {space.graph.nodes} nodes, '
    f'{config.channels} channels: {count_weights({"params": weights}):,} '
    'weights when complete',
    *_lacking(
      space.lacking(config.layers, config.channels),
      'what is reported of it is its start',
    ),
    f'  method    {search.method.name}',
    f'  stages    {search.method.summary}',
    f'  steps     {config.epochs} epochs of {search.per_epoch} steps, batch '
    f'{config.batch_size}, {config.order} order alpha steps',
  ]
  if seeds:
    lines.append(_seeds(seeds, 'searches together'))
  return '\n'.join(lines)


def of_training(
  training: TrainTask,
  workdir: str | pathlib.Path | None = None,
  step: int = 0,
) -> str:
  """What a training will do, in a few lines.

  Args:
    training: it.
    workdir: of its run; None if there is none.
    step: to begin with.
  """
  config, images, model = training.config, training.images, training.model
  heads = 'with' if config.auxiliary else 'no'
  lines = [
    _title('Training', workdir, step),
    *_data(
      images, f'{images.num_train} images to train, {images.num_test} to test'
    ),
    '  genotype',
    console.genotype_lines(model.genotype),
    f'  network   {config.layers} cells, {config.channels} channels, {heads} '
    f'auxiliary head: {training.num_weights:,} weights',
    *_lacking(
      model.space.lacking(model.layers, model.channels, model.imagenet),
      'the network has nothing of what was found for it',
    ),
    f'  steps     {config.epochs} epochs of {training.per_epoch} steps, batch '
    f'{config.batch_size}',
  ]
  if config.seeds:
    lines.append(_seeds(config.seeds, 'trainings one after another'))
  return '\n'.join(lines)


def contact_sheet(
  config: Any, images: ImageData | Streamed, folder: str | pathlib.Path
) -> str:
  """Writes images as the network will see them; a line that says where."""
  # Here, as no other run draws images.
  from opp_darts_jax.data.contact_sheet import write_contact_sheet

  path = pathlib.Path(folder) / CONTACT_SHEET
  write_contact_sheet(images, config.data, path, config.seed)
  return f'  sheet     {path}: images as the network will see them'


def say_finished(
  workdir: str | pathlib.Path, results: Mapping[str, Any], quiet: bool
) -> None:
  """Tells that nothing is left to do, and what came of it."""
  if quiet or jax.process_index() > 0:
    return
  names = ('test_accuracy', 'eval_accuracy')
  found = [f'{n} {results[n]:.4f}' for n in names if results.get(n) is not None]
  print(
    f'The run in {workdir} has finished: {", ".join(found) or "no epochs"}.'
  )
  if known := truth.sentence(results):
    print(known)


def _lacking(which: str, so: str) -> list[str]:
  """The line of kinds that have no cell, and what follows; none if all have."""
  return [f'            {which}: {so}'] if which else []


def _title(what: str, workdir: str | pathlib.Path | None, step: int) -> str:
  where = f' in {workdir}' if workdir is not None else ''
  return f'{what}{where}{f", going on after step {step}" if step else ""}'


def _seeds(seeds: Sequence[int], what: str) -> str:
  named = ', '.join(map(str, seeds))
  return f'  seeds     {named}: {len(seeds)} {what}, each in its own folder'


def _data(images: ImageData | Streamed, parts: str) -> list[str]:
  """The lines of device and images, and of what was done to these."""
  height, width, channels = images.image_shape
  return [
    f'  device    {console.device()}',
    f'  data      {images.name}: {parts}, {height}x{width}x{channels}, '
    f'{images.num_classes} classes',
    *(f'            {note}' for note in images.notes),
  ]
