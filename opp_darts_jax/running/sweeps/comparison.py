"""What runs of several methods say of these: numbers, tests, what is published.

Everything is by config: methods are compared on the same images, space and
size, seed by seed.
"""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from opp_darts_jax.benchmarks import published
from opp_darts_jax.recorded import TRUTH_TEST
from opp_darts_jax.running.sweeps.significance import holm, least_p, paired

Outcome = Mapping[str, Any]

# What methods are judged by: what a table knows of the cell that was found, the
# accuracy of its network as trained here, or that of the supernet on D_val.
MEASURES = (
  f'{TRUTH_TEST}cifar10',
  f'{TRUTH_TEST}cifar100',
  f'{TRUTH_TEST}imagenet16',
  'test_accuracy',
  'eval_accuracy',
)
_RANKS = ('spearman_', 'kendall_')
_RANKED = 'cifar10'  # By which cells are ranked, unless on the run's data.


def summary(
  runs: Sequence[Outcome], methods: Sequence[str], measure: str = 'auto'
) -> dict[str, Any]:
  """Compares methods.

  Args:
    runs: finished ones: `config`, `method`, `seed`, `space`, `data`, and
      numbers by name. Runs of two methods make a pair if each is the only one
      of its method with that seed.
    methods: in order; the others are held against the first.
    measure: of `MEASURES`; 'auto' takes the first one that all runs of a config
      have.

  Returns:
    `runs`, as they are, and `methods`, a row for each config and method that
    has runs: `measure`; `seeds`, how many; `mean`, sample standard deviation
    (`std`), `least` and `largest` of the measure; `seconds`, the mean of a
    search; `spearman` and `kendall`, means of the ranks of sampled cells, if
    they were: on the data of the measure or of the runs, else on CIFAR-10;
    `published`. Against the first method of the config: `baseline`,
    its name, `pairs`, `difference`, `p`, `p_holm` (for all methods of the
    config together), `least_p` and `effect`, see `paired`. None stands for what
    there is not.
  """
  rows = []
  for config in dict.fromkeys(run['config'] for run in runs):
    own = [run for run in runs if run['config'] == config]
    rows += _of_config(config, own, methods, measure)
  return {'methods': rows, 'runs': list(runs)}


def _of_config(
  config: str, runs: Sequence[Outcome], methods: Sequence[str], measure: str
) -> list[dict[str, Any]]:
  if measure == 'auto':
    measure = next(
      (
        name
        for name in MEASURES
        if all(run.get(name) is not None for run in runs)
      ),
      MEASURES[-1],
    )
  by_method = {
    method: [
      run
      for run in runs
      if run['method'] == method and run.get(measure) is not None
    ]
    for method in methods
  }
  baseline = _by_seed(by_method[methods[0]])
  rows = [
    _of_method(config, method, own, measure)
    for method, own in by_method.items()
    if own
  ]
  tested = []
  for row in rows:
    own = _by_seed(by_method[row['method']])
    shared = [seed for seed in own if seed in baseline]
    if row['method'] == methods[0] or not shared:
      continue
    found = paired(
      [own[seed][measure] for seed in shared],
      [baseline[seed][measure] for seed in shared],
    )
    row |= {'baseline': methods[0], **found._asdict()}
    row['least_p'] = least_p(found.pairs)
    tested.append(row)
  for row, p in zip(tested, holm([row['p'] for row in tested])):
    row['p_holm'] = p
  return rows


def _by_seed(runs: Sequence[Outcome]) -> dict[Any, Outcome]:
  """The runs by their seed, without those that share one."""
  counts = Counter(run['seed'] for run in runs)
  return {run['seed']: run for run in runs if counts[run['seed']] == 1}


def _of_method(
  config: str, method: str, runs: Sequence[Outcome], measure: str
) -> dict[str, Any]:
  values = [run[measure] for run in runs]
  data = runs[0]['data']
  if measure.startswith(TRUTH_TEST):
    data = measure.removeprefix(TRUTH_TEST)
  row: dict[str, Any] = {
    'config': config,
    'method': method,
    'measure': measure,
    'seeds': len(values),
    'mean': statistics.mean(values),
    'std': statistics.stdev(values) if len(values) > 1 else None,
    'least': min(values),
    'largest': max(values),
    'seconds': statistics.mean(run['search_seconds'] for run in runs),
  }
  for prefix in _RANKS:
    # A table knows cells on data sets of its own, of which the run's may be.
    own = (f'{prefix}{name}' for name in (data, _RANKED))
    key = next((key for key in own if any(key in run for run in runs)), '')
    known = [run[key] for run in runs if run.get(key) is not None]
    row[prefix.strip('_')] = statistics.mean(known) if known else None
  # Against the first method; Holm's comes when all are there.
  row |= dict.fromkeys(
    ('baseline', 'pairs', 'difference', 'p', 'p_holm', 'least_p', 'effect')
  )
  row['published'] = _published(method, runs[0], measure, data)
  return row


def _published(
  method: str, run: Outcome, measure: str, data: str
) -> list[dict[str, Any]]:
  """What was published where space and data set are the same.

  What a table knows is of cells that a search on CIFAR-10 found; what a
  supernet says on D_val was not published.
  """
  searched_there = run['data'] == 'cifar10'
  tested = measure.startswith(TRUTH_TEST) or measure == 'test_accuracy'
  if not tested or not searched_there:
    return []
  # Networks trained here have nothing published beside them in a space whose
  # figures are of a table.
  if measure == 'test_accuracy' and run.get(f'{TRUTH_TEST}{data}') is not None:
    return []
  return [
    found._asdict() for found in published.find(method, run['space'], data)
  ]
