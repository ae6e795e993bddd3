"""The paper's tables at their own size, on one GPU.

    python experiments/evidence/paper.py --workdir=runs/paper
    python experiments/evidence/paper.py --hours --target=h100

The first searches and trains what `--tables` names; cut off, it goes on by the
same command. A table's searches are each trained once, for 100 epochs, and
tested on a tenth of the training images, by which one is chosen; its cell is
trained at full length as often as the paper's, on all of them, and tested on
the test images. The paper does not say how its best cell was chosen; this way
no test image has a say.

The second says how long that takes on a device that need not be here (extra
`accelerator-aot`): programs are compiled for it and counted, times modelled.
No image is needed for it.
"""

import argparse
import json
import pathlib
import shlex
import statistics
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from endings import in_a_sentence

from opp_darts_jax import errors
from opp_darts_jax.files import read_json, write_json
from opp_darts_jax.recorded import GENOTYPE, RESULTS
from opp_darts_jax.running.sweeps import sweep
from opp_darts_jax.running.sweeps.parts import Part, run_all

_CHOICE_EPOCHS = 100  # Of the short trainings that choose.
_CHOICE = ('--config.data.held_out=0.1', f'--config.epochs={_CHOICE_EPOCHS}')


class Table(NamedTuple):
  """A row of a table of the paper.

  Attributes:
    config: of searches and trainings.
    searches: with so many seeds.
    trainings: of the chosen cell, likewise.
    error: on test images, in percent, as published.
    spread: of it over trainings; None if not given.
    cell_of: the table whose chosen cell it trains, if it has no searches.
  """

  config: str
  searches: int
  trainings: int
  error: float
  spread: float | None = None
  cell_of: str = ''


# Zhu et al., OPP-DARTS, ICDM 2021: CIFAR-10 by five searches and ten trainings;
# how many there were in S2 to S4 it does not say: RobustDARTS's four and three.
TABLES = {
  'cifar10': Table('cifar10', 5, 10, 2.63, 0.27),
  's2': Table('s2', 4, 3, 2.93),
  's3': Table('s3', 4, 3, 2.90),
  's4': Table('s4', 4, 3, 3.21),
  'imagenet': Table('imagenet', 0, 1, 25.61, cell_of='cifar10'),
}


def main() -> None:
  """Runs the tables, or says how long they take."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--tables', default=','.join(TABLES))
  parser.add_argument('--workdir', default='runs/paper')
  parser.add_argument('--jobs', type=int, default=1, help='runs at a time')
  parser.add_argument('--hours', action='store_true', help='say them, no more')
  parser.add_argument(
    '--target', default='h100', help='for which, with --hours'
  )
  parser.add_argument(
    '--flags', default='', help='of all runs: --config.data.data_dir=PATH, say'
  )
  given = parser.parse_args()
  names = given.tables.split(',')
  with in_a_sentence():
    for name in names:
      errors.check_choice('table', name, tuple(TABLES))
    if given.hours:
      say_hours(names, given.target)
    else:
      run(names, pathlib.Path(given.workdir), given.jobs, given.flags)


def run(
  names: Sequence[str], workdir: pathlib.Path, jobs: int = 1, flags: str = ''
) -> dict[str, Any]:
  """Runs what is not finished of some tables.

  Args:
    names: of `TABLES`.
    workdir: of all of it; gets `paper.json`, where other tables stay.
    jobs: runs at a time.
    flags: of all runs.

  Returns:
    By table: its `cell`, a file; `errors` of the trainings in percent, their
    `mean` and sample `spread`; `published`.
  """
  found: dict[str, Any] = {}
  for name in names:
    table = TABLES[name]
    cell = chosen(table.cell_of or name, workdir, jobs, shlex.split(flags))
    accuracies = trained(name, cell, workdir, jobs, shlex.split(flags))
    wrong = [100 * (1 - accuracy) for accuracy in accuracies]
    found[name] = {
      'cell': str(cell),
      'errors': wrong,
      'mean': statistics.mean(wrong),
      'spread': statistics.stdev(wrong) if len(wrong) > 1 else None,
      'published': table.error,
    }
    path = workdir / 'paper.json'
    write_json(path, {**(read_json(path) or {}), **found})
    print(
      f'{name}: {statistics.mean(wrong):.2f} % of the test images wrong in the '
      f'mean of {len(wrong)}, published {table.error}'
    )
  return found


def chosen(
  name: str, workdir: pathlib.Path, jobs: int, flags: Sequence[str]
) -> pathlib.Path:
  """The file of the cell that does best on training images held out."""
  table = TABLES[name]
  searches = sweep.Sweep(
    (table.config,),
    tuple(range(table.searches)),
    workdir / name,
    search_flags=tuple(flags),
    train_flags=(*_CHOICE, *flags),
  )
  (found,) = sweep.run_sweep(searches, jobs)['configs'].values()
  # The folder of the training, beside that of its search.
  return pathlib.Path(found['best_run']).parent / 'search' / GENOTYPE


def trained(
  name: str,
  cell: pathlib.Path,
  workdir: pathlib.Path,
  jobs: int,
  flags: Sequence[str],
) -> list[float]:
  """The test accuracies of a cell, trained with as many seeds as a table has.

  Raises:
    NotFinished: if a training was stopped; the same again goes on.
    SweepError: if one failed.
  """
  table = TABLES[name]
  config = table.config if table.cell_of else f'{table.config}:train'
  parts = []
  for seed in range(table.trainings):
    folder = workdir / name / 'best' / f'seed{seed}'
    command = (
      *(sys.executable, '-m', 'opp_darts_jax', 'train', f'--config={config}'),
      *(*flags, f'--config.genotype={cell}', f'--config.seed={seed}'),
      f'--workdir={folder}',
    )
    parts.append(Part(f'{name} training {seed}', folder, command))
  stopped, failed = run_all([[part] for part in parts], jobs)
  if stopped:
    raise errors.NotFinished('the same command goes on with what is left.')
  if failed:
    raise sweep.SweepError(f'Trainings failed: {"; ".join(failed)}.')
  results = [json.loads((p.folder / RESULTS).read_text()) for p in parts]
  return [result['test_accuracy'] for result in results]


def say_hours(names: Sequence[str], target: str) -> None:
  """Prints how long tables take on a device, a run at a time."""
  from projection import hours_of_search, hours_of_training

  print(f'| table | runs | hours each on {target} | hours |')
  print('|---|---|---|---|')
  total = 0.0
  for name in names:
    table = TABLES[name]
    training = table.config if table.cell_of else f'{table.config}:train'
    rows = [('trainings', table.trainings, hours_of_training(training, target))]
    if table.searches:
      short = hours_of_training(training, target, epochs=_CHOICE_EPOCHS)
      search = hours_of_search(table.config, target)
      rows = [
        ('searches', table.searches, search),
        ('short trainings', table.searches, short),
        *rows,
      ]
    for what, count, each in rows:
      total += count * each
      print(
        f'| {name}, {what} | {count} | {each:.2f} | {count * each:.1f} |',
        flush=True,
      )
  print(f'| all | | | {total:.1f} |')


if __name__ == '__main__':
  main()
