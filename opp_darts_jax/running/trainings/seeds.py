"""Training with several seeds: a run each, and what they have in common."""

import dataclasses
import pathlib
import statistics
from collections.abc import Callable
from typing import Any

from opp_darts_jax import files
from opp_darts_jax.config import TrainConfig
from opp_darts_jax.recorded import GENOTYPE, RESULTS
from opp_darts_jax.running.workdirs.workdir import open_workdir

_AVERAGED = ('test_accuracy', 'test_top5_accuracy', 'test_loss')
_SHARED = ('epochs', 'num_weights', 'tested_on', 'genotype')


def run_seeds(
  run: Callable[[TrainConfig, pathlib.Path], dict[str, Any]],
  config: TrainConfig,
  workdir: str | pathlib.Path,
) -> dict[str, Any]:
  """A run a seed, and their mean and sample standard deviation.

  Args:
    run: what trains with one seed, in a folder.
    config: with several `seeds`.
    workdir: a folder; the runs lie in `seedN` in it.

  Returns:
    The contents of its `results.json`.
  """
  with open_workdir(workdir, config) as folder:
    found = {}
    for seed in config.seeds:
      one = dataclasses.replace(config, seed=seed, seeds=())
      found[seed] = run(one, pathlib.Path(workdir) / f'seed{seed}')
    results = _summarise(found)
    if not (folder / RESULTS).exists():
      files.write_json(folder / GENOTYPE, results['genotype'])
      files.write_json(folder / RESULTS, results)
  return results


def _summarise(found: dict[int, dict[str, Any]]) -> dict[str, Any]:
  results: dict[str, Any] = {'seeds': list(found)}
  for name in _AVERAGED:
    values = [run[name] for run in found.values()]
    results |= {
      name: statistics.mean(values),
      f'{name}_std': statistics.stdev(values) if len(values) > 1 else None,
      f'{name}_by_seed': dict(zip(found, values)),
    }
  first = next(iter(found.values()))
  # Runs that earlier releases finished do not tell what they were tested on.
  return results | {name: first[name] for name in _SHARED if name in first}
