"""What the runs of a sweep came to: statistics by config, and their table."""

import json
import pathlib
import statistics
from typing import Any

from opp_darts_jax.files import read_lines
from opp_darts_jax.running.metrics import METRICS


def last_epoch(folder: pathlib.Path) -> dict[str, Any] | None:
  """The numbers of the last epoch of a search; None if it is not finished."""
  try:
    epochs = json.loads((folder / 'config.json').read_text())['epochs']
    genotype = json.loads((folder / 'genotype.json').read_text())
  except (OSError, ValueError):  # Missing, or not to be read.
    return None
  for line in read_lines(folder / METRICS):
    # A search that was cut off within its last epoch has the genotype of the
    # one before.
    last = line.get('kind') == 'epoch' and line['epoch'] == epochs - 1
    if last and line['genotype'] == genotype:
      return line
  return None


def result(
  config: str, seed: int, search: pathlib.Path, train: pathlib.Path | None
) -> dict[str, Any]:
  """What a finished run came to.

  Args:
    config: its name.
    seed: its seed.
    search: workdir of its search.
    train: workdir of the training of what was found, if there was one.
  """
  epoch = last_epoch(search)
  assert epoch is not None
  tested = json.loads((train / 'results.json').read_text()) if train else {}
  return {
    'config': config,
    'seed': seed,
    'workdir': str(train or search),
    'test_accuracy': tested.get('test_accuracy'),
    **{n: epoch[n] for n in ('eval_accuracy', 'skip_normal', 'skip_reduce')},
  }


def by_config(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
  """Statistics of runs by config.

  Args:
    results: as in `sweep.json`.

  Returns:
    By config: `runs`, their number; means of the D_val accuracy and of the skip
    connections of either cell; of the test accuracy mean, sample standard
    deviation (`test_std`) and the largest (`test_best`), and its `best_run`.
    None stands for what there is not.
  """
  groups: dict[str, list[dict[str, Any]]] = {}
  for result in results:
    groups.setdefault(result['config'], []).append(result)
  return {config: _statistics(group) for config, group in groups.items()}


def _statistics(group: list[dict[str, Any]]) -> dict[str, Any]:
  means = ('eval_accuracy', 'skip_normal', 'skip_reduce')
  tested = [run for run in group if run['test_accuracy'] is not None]
  accuracies = [run['test_accuracy'] for run in tested]
  best = max(tested, key=lambda run: run['test_accuracy'], default={})
  return {
    'runs': len(group),
    'test_mean': statistics.mean(accuracies) if tested else None,
    'test_std': statistics.stdev(accuracies) if len(tested) > 1 else None,
    'test_best': best.get('test_accuracy'),
    **{name: statistics.mean(run[name] for run in group) for name in means},
    'best_run': best.get('workdir'),
  }


def table(configs: dict[str, dict[str, Any]]) -> str:
  """The statistics as lines, a config each; skips are skip connections."""
  rows = [
    ['config', 'runs', 'test mean', 'std', 'best', 'D_val']
    + ['skips: normal', 'reduce', 'best run']
  ]
  for config, values in configs.items():
    runs, *numbers, best_run = values.values()
    shown = ['-' if n is None else f'{n:.4f}' for n in numbers[:4]]
    shown += [f'{n:.1f}' for n in numbers[4:]]
    rows.append([config, str(runs), *shown, best_run or '-'])
  widths = [max(map(len, column)) for column in zip(*rows)]
  return '\n'.join(
    '  '.join(
      cell.ljust(width) if i in (0, len(row) - 1) else cell.rjust(width)
      for i, (cell, width) in enumerate(zip(row, widths))
    ).rstrip()
    for row in rows
  )
