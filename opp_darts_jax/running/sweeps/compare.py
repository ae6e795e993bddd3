"""Compares methods: a sweep of methods and seeds, judged by paired tests.

A method is named 'METHOD', all operations from the first epoch on, or
'SCHEDULE+METHOD', as a config's fields name them; several schedules likewise.
"""

import csv
import dataclasses
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from opp_darts_jax import files, naming
from opp_darts_jax.config import ScheduleConfig, SearchConfig
from opp_darts_jax.errors import UserError, check_choice
from opp_darts_jax.methods.catalogue import (
  SCHEDULES,
  get_method,
  scheduled,
)
from opp_darts_jax.recorded import CONFIG, RESULTS, TIMES, TRUTH, is_number
from opp_darts_jax.running.sweeps import comparison, comparison_table, sweep
from opp_darts_jax.running.sweeps.comparison import MEASURES
from opp_darts_jax.running.sweeps.parts import Launch
from opp_darts_jax.running.sweeps.sweep import (
  Run,
  Sweep,
  Variant,
  check_flags,
  flag_name,
)
from opp_darts_jax.running.workdirs import results
from opp_darts_jax.spaces.catalogue import get_space

# What says a run's method: `flags_of`.
_OWN_FLAGS = ('config.method', 'config.schedule.name')


@dataclasses.dataclass(frozen=True)
class Compared:
  """What to compare.

  Attributes:
    configs: as for a sweep; methods are compared on each by itself.
    methods: the first one is what the others are held against.
    seeds: with each of which all methods search.
    workdir: folder of the runs, CONFIG/METHOD/seedSEED, and of the tables.
    train: whether to train and test what is found.
    measure: what methods are judged by, of `comparison.MEASURES`.
    search_flags: further flags of all searches.
    train_flags: further flags of all trainings.
    method_flags: further flags of the searches of a method, by its name.
    fields: what the configs say, as for a sweep.
  """

  configs: tuple[str, ...]
  methods: tuple[str, ...]
  seeds: tuple[int, ...]
  workdir: pathlib.Path
  train: bool = False
  measure: str = 'auto'
  search_flags: tuple[str, ...] = ()
  train_flags: tuple[str, ...] = ()
  method_flags: Mapping[str, tuple[str, ...]] = dataclasses.field(
    default_factory=dict
  )
  fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  def __post_init__(self) -> None:
    check_choice('measure', self.measure, ('auto', *MEASURES))
    if self.measure == 'test_accuracy' and not self.train:
      raise UserError(
        'The measure test_accuracy is of networks that are trained: give '
        '--train, too.'
      )
    check_flags('search_flags', self.search_flags, _OWN_FLAGS)
    self._check_truth()
    if not self.methods:
      raise UserError('Expected at least one method, got none.')
    for method in self.methods:
      schedules, own = parts_of(method)
      scheduled(get_method(own), ScheduleConfig(schedules))
    for method, given in self.method_flags.items():
      check_choice('method with flags of its own', method, self.methods)
      check_flags('method_flags', given, _OWN_FLAGS)

  def _check_truth(self) -> None:
    """Raises `UserError` if nobody knows the measure in a config's space."""
    flags = itertools.chain(self.search_flags, *self.method_flags.values())
    if not self.measure.startswith(TRUTH) or any(
      flag_name(flag) == 'config.space' for flag in flags
    ):
      return
    for config, said in self.fields.items():
      space = get_space(said['search'].get('space', SearchConfig.space))
      if space.truth is None:
        raise UserError(
          f'The measure {self.measure} is of a space that knows what its cells '
          f'are worth (Space.truth); got the config {config}, whose space '
          f'{space.name!r} does not.'
        )

  @property
  def sweep(self) -> Sweep:
    """The runs."""
    return Sweep(
      self.configs,
      self.seeds,
      self.workdir,
      self.train,
      self.search_flags,
      self.train_flags,
      tuple(
        Variant(method, (*flags_of(method), *self.method_flags.get(method, ())))
        for method in self.methods
      ),
      self.fields,
    )


def parts_of(method: str) -> tuple[str, str]:
  """(schedules, method) that a name stands for."""
  terms = naming.split(method, '+')
  count = len(terms) - 1
  if ':' in terms[-1]:  # The name of a file may have a sign.
    count = len(list(itertools.takewhile(_is_schedule, terms[:-1])))
  return '+'.join(terms[:count]) or 'plain', '+'.join(terms[count:])


def _is_schedule(term: str) -> bool:
  return term.partition('(')[0].strip() in SCHEDULES or ':' in term


def flags_of(method: str) -> tuple[str, ...]:
  """The flags of its searches."""
  schedule, own = parts_of(method)
  return f'--config.schedule.name={schedule}', f'--config.method={own}'


def run_compare(
  compared: Compared, jobs: int = 1, launch: Launch | None = None
) -> dict[str, Any]:
  """Runs what is not finished, and compares what is.

  Written into the workdir: `compare.json`; `compare.csv`, a method a line;
  `runs.csv`, a run a line; `compare.tex`, a table for LaTeX; and `sweep.json`.
  The same call goes on with what is not finished, as a sweep does.

  Args:
    compared: what.
    jobs: how many searches or trainings run at a time.
    launch: as for `run_sweep`.

  Returns:
    The contents of `compare.json`.

  Raises:
    NotFinished: if runs were stopped.
    SweepError: if runs failed; the others are compared.
    UserError: if the workdir holds runs with other flags.
  """
  written: dict[str, Any] = {}

  def sum_up(done: Sequence[Run]) -> tuple[dict[str, Any], str]:
    found = comparison.summary(
      [outcome(run) for run in done], compared.methods, compared.measure
    )
    written.update(found)
    _write(compared.workdir, found)
    return {'compared': found['methods']}, comparison_table.text(found)

  sweep.run_sweep(compared.sweep, jobs, sum_up, launch)
  return written


def outcome(run: Run) -> dict[str, Any]:
  """What a finished run came to: numbers by name.

  Raises:
    UserError: if its files are damaged.
  """
  search, train = run.folders
  config = results.read(search, CONFIG, ['space', 'data'])
  found: dict[str, Any] = {
    'config': run.config,
    'method': run.variant,
    'seed': run.seed,
    'space': config['space'],
    'data': config['data']['source'].removeprefix('tfds:'),
    'search_seconds': _seconds(search),
  }
  numbers = {
    name: value
    for name, value in results.read(search, RESULTS).items()
    if is_number(value)
  }
  found |= numbers
  if train is not None:
    tested = results.read(train, RESULTS, ['test_accuracy'])
    names = ['test_accuracy', 'num_weights']
    found |= results.numbers(tested, names, train)
    found['train_seconds'] = _seconds(train)
  return found


def _seconds(folder: pathlib.Path) -> float:
  """Of steps, evaluations and what a method does between epochs."""
  path = folder / TIMES
  try:
    return round(sum(line['seconds'] for line in files.read_lines(path)), 3)
  except (KeyError, TypeError) as error:
    raise UserError(f'Expected seconds in every line of {path}.') from error


def _write(workdir: pathlib.Path, found: Mapping[str, Any]) -> None:
  files.write_json(workdir / 'compare.json', found)
  write_csv(workdir / 'runs.csv', found['runs'])
  write_csv(
    workdir / 'compare.csv',
    [
      {name: value for name, value in row.items() if name != 'published'}
      | {'published': comparison_table.published_figures(row)}
      for row in found['methods']
    ],
  )
  latex = comparison_table.latex(found)
  with files.replacing(workdir / 'compare.tex') as path:
    path.write_text(latex, encoding='utf-8')


def write_csv(path: pathlib.Path, rows: Sequence[Mapping[str, Any]]) -> None:
  """Writes lines with all columns that any has; never half a file."""
  names = list(dict.fromkeys(name for row in rows for name in row))
  with (
    files.replacing(path) as temporary,
    open(temporary, 'w', encoding='utf-8', newline='') as file,
  ):
    writer = csv.DictWriter(file, names)
    writer.writeheader()
    writer.writerows(rows)
