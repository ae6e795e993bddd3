"""What the runs of a sweep came to: statistics by config, and their table."""

import pathlib
import statistics
from collections.abc import Container, Sequence
from typing import Any

from opp_darts_jax.recorded import RESULTS
from opp_darts_jax.running.workdirs import results

_SKIP = 'skip_'
_NUMBERS = ('test_mean', 'test_std', 'test_best', 'eval_accuracy')


def result(
  config: str, seed: int, search: pathlib.Path, train: pathlib.Path | None
) -> dict[str, Any]:
  """What a finished run came to.

  Args:
    config: its name.
    seed: its seed.
    search: workdir of its search.
    train: workdir of the training of what was found, if there was one.

  Raises:
    UserError: if their results are damaged.
  """
  found = results.read(search, RESULTS, ['eval_accuracy'])
  tested = results.read(train, RESULTS) if train else {}
  return {
    'config': config,
    'seed': seed,
    'workdir': str(train or search),
    **results.numbers(tested, ['test_accuracy'], train or search),
    **results.numbers(found, ['eval_accuracy', *_skips(found)], search),
  }


def by_config(runs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
  """Statistics of runs by config.

  Args:
    runs: as in `sweep.json`.

  Returns:
    By config: `runs`, their number; means of the D_val accuracy and of the skip
    connections of each kind of cell (`skip_KIND`); of the test accuracy mean,
    sample standard deviation (`test_std`) and the largest (`test_best`), and
    its `best_run`. None stands for what there is not: a search that trains
    nothing has no accuracy on D_val.
  """
  groups: dict[str, list[dict[str, Any]]] = {}
  for run in runs:
    groups.setdefault(run['config'], []).append(run)
  return {config: _statistics(group) for config, group in groups.items()}


def _statistics(group: list[dict[str, Any]]) -> dict[str, Any]:
  means = ('eval_accuracy', *_skips(group[0]))
  tested = [run for run in group if run['test_accuracy'] is not None]
  accuracies = [run['test_accuracy'] for run in tested]
  best = max(tested, key=lambda run: run['test_accuracy'], default={})
  return {
    'runs': len(group),
    'test_mean': statistics.mean(accuracies) if tested else None,
    'test_std': statistics.stdev(accuracies) if len(tested) > 1 else None,
    'test_best': best.get('test_accuracy'),
    **{name: _mean([run[name] for run in group]) for name in means},
    'best_run': best.get('workdir'),
  }


def _mean(values: Sequence[float | None]) -> float | None:
  known = [value for value in values if value is not None]
  return statistics.mean(known) if known else None


def _skips(fields: dict[str, Any]) -> list[str]:
  """The names of the numbers of skip connections, one for a kind of cell."""
  return [name for name in fields if name.startswith(_SKIP)]


def table(configs: dict[str, dict[str, Any]]) -> str:
  """The statistics as lines, a config each; skips are skip connections."""
  # Configs may differ in the kinds of their cells.
  skips = list(dict.fromkeys(n for v in configs.values() for n in _skips(v)))
  kinds = [name.removeprefix(_SKIP) for name in skips]
  rows = [
    ['config', 'runs', 'test mean', 'std', 'best', 'D_val']
    + [f'skips: {kinds[0]}' if kinds else 'skips', *kinds[1:], 'best run']
  ]

  def shown(value: float | None, places: int) -> str:
    return '-' if value is None else f'{value:.{places}f}'

  for config, values in configs.items():
    numbers = [shown(values[name], 4) for name in _NUMBERS]
    numbers += [shown(values.get(name), 1) for name in skips or ('',)]
    rows.append(
      [config, str(values['runs']), *numbers, values['best_run'] or '-']
    )
  return aligned(rows, left=(0, len(rows[0]) - 1))


def aligned(rows: Sequence[Sequence[str]], left: Container[int] = (0,)) -> str:
  """Lines of a table.

  Args:
    rows: as many cells in each.
    left: the columns that are aligned to the left.
  """
  widths = [max(map(len, column)) for column in zip(*rows)]
  return '\n'.join(
    '  '.join(
      cell.ljust(width) if i in left else cell.rjust(width)
      for i, (cell, width) in enumerate(zip(row, widths))
    ).rstrip()
    for row in rows
  )
