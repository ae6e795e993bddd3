"""Runs a claim: searches that can be cut off, and CSVs of what they came to.

    python experiments/evidence/CLAIM.py --jobs=2

runs the searches of a claim that are not finished, in runs/evidence/CLAIM, and
writes into experiments/evidence/results/CLAIM what they came to, the same to
the bit whenever it is run on the same kind of machine: `runs.csv`, a search a
line; `epochs.csv`, an epoch a line. `seconds.csv` has what they took, and on
what. A claim that is stopped goes on by the same command.
"""

import argparse
import os
import pathlib
import shlex
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from claim import RESULTS, Claim, Row, read_csv
from endings import in_a_sentence
from verdicts import text

from opp_darts_jax import errors
from opp_darts_jax.files import read_lines
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.launchers import sweep_flags
from opp_darts_jax.recorded import GENOTYPE, METRICS
from opp_darts_jax.running.sweeps import compare, sweep
from opp_darts_jax.running.sweeps.compare import write_csv
from opp_darts_jax.running.workdirs import sessions
from opp_darts_jax.running.workdirs.metrics import read_epochs
from opp_darts_jax.spaces.catalogue import get_space

_NOISE = 'noise'  # An operation of S4.


def main(claim: Claim) -> None:
  """Runs a claim by the flags of the command line."""
  parser = argparse.ArgumentParser(description=claim.question)
  parser.add_argument('--jobs', type=int, default=1, help='searches at a time')
  parser.add_argument('--workdir', default=f'runs/evidence/{claim.name}')
  parser.add_argument('--seeds', default='', help='of the claim, only these')
  parser.add_argument('--configs', default='', help='likewise')
  parser.add_argument('--variants', default='', help='likewise')
  parser.add_argument(
    '--search_flags', default='', help='of where things are, not of what is run'
  )
  given = parser.parse_args()
  # One thread a search: numbers are the same however many cores there are.
  os.environ['NPROC'] = '1'
  configs = tuple(filter(None, given.configs.split(',')))
  names = tuple(filter(None, given.variants.split(',')))
  with in_a_sentence():
    seeds = sweep_flags.numbers([*filter(None, given.seeds.split(','))])
    for config in configs:
      errors.check_choice('config', config, claim.configs)
    for name in names:
      errors.check_choice('variant', name, tuple(claim.variants))
    run(
      claim._replace(seeds=seeds or claim.seeds),
      pathlib.Path(given.workdir),
      given.jobs,
      configs,
      names,
      shlex.split(given.search_flags),
    )


def run(
  claim: Claim,
  workdir: pathlib.Path,
  jobs: int = 1,
  configs: Sequence[str] = (),
  variants: Sequence[str] = (),
  search_flags: Sequence[str] = (),
  results: pathlib.Path = RESULTS,
) -> None:
  """Runs what is not finished of a claim, and writes what came.

  Args:
    claim: to run.
    workdir: of its searches.
    jobs: searches at a time.
    configs: of the claim's, those to run; none is all.
    variants: likewise.
    search_flags: that change no number, such as `--config.data.data_dir`.
    results: the folder of all claims' results; what it has of other searches
      of the claim stays.
  """
  train_flags: tuple[str, ...] = ()
  if claim.train is not None:
    train_flags = (*shlex.split(claim.train), *search_flags)
  searches = sweep.Sweep(
    tuple(c for c in claim.configs if c in configs or not configs),
    claim.seeds,
    workdir,
    train=claim.train is not None,
    search_flags=(*shlex.split(claim.flags), *search_flags),
    train_flags=train_flags,
    variants=tuple(
      sweep.Variant(name, tuple(shlex.split(flags)))
      for name, flags in claim.variants.items()
      if name in variants or not variants
    ),
  )

  def sum_up(done: Sequence[sweep.Run]) -> tuple[Row, str]:
    folder = results / claim.name
    folder.mkdir(parents=True, exist_ok=True)
    found = [_of_run(claim, run) for run in done]
    epochs = [epoch for one in found for epoch in one.epochs]
    _write(claim, folder / 'epochs.csv', epochs)
    _write(claim, folder / 'seconds.csv', [one.seconds for one in found])
    runs = _write(claim, folder / 'runs.csv', [one.run for one in found])
    return {}, text(claim, runs)

  sweep.run_sweep(searches, jobs, sum_up)


def _write(claim: Claim, path: pathlib.Path, rows: list[Row]) -> list[Row]:
  """Writes lines beside those of other searches that the file has."""

  def search(row: Row) -> tuple[int, int]:
    return row['seed'], claim.names.index(row['variant'])

  new = set(map(search, rows))
  known = read_csv(path) if path.exists() else []
  kept = [row for row in known if search(row) not in new]
  merged = sorted([*kept, *rows], key=search)
  write_csv(path, merged)
  return merged


def _name(claim: Claim, run: sweep.Run) -> str:
  return run.variant if len(claim.configs) == 1 else run.label


class _Found(NamedTuple):
  """The lines of a search in each of the files."""

  run: Row
  epochs: list[Row]
  seconds: Row


def _of_run(claim: Claim, run: sweep.Run) -> _Found:
  of = {'variant': _name(claim, run), 'seed': run.seed}
  found, folder = compare.outcome(run), run.folders[0]
  epochs = read_epochs(folder)
  # A search without an epoch of its own ends with what it began with.
  known = {**(epochs[-1] if epochs else {}), **found}
  if 'noise_normal' in claim.measures:
    known['noise_normal'] = _noise(folder, found['space'])
  if 'margin' in claim.measures:
    known['margin'] = margin(read_lines(folder / METRICS))
  numbers = [
    {k: v for k, v in epoch.items() if isinstance(v, int | float)}
    for epoch in epochs
  ]
  seconds = found['search_seconds'] + found.get('train_seconds', 0)
  return _Found(
    {**of, **{name: known.get(name) for name in claim.measures}},
    [{**of, **epoch} for epoch in numbers],
    {**of, 'seconds': seconds, 'machine': _machine(folder)},
  )


def _machine(folder: pathlib.Path) -> str:
  """What a run ran on last; 'unknown' of one that does not say so."""
  found = sessions.read(folder)
  return found[-1]['device'] if found else 'unknown'


def _noise(folder: pathlib.Path, space: str) -> int | None:
  """Edges of the found normal cell that are noise; None in other spaces."""
  if _NOISE not in get_space(space).names:
    return None
  found = Genotype.from_json((folder / GENOTYPE).read_text())
  return found.count(_NOISE, 'normal')


def margin(lines: Sequence[Row]) -> float | None:
  """How far chosen losses were from the next, by the chosen, in the mean.

  Args:
    lines: of a search's metrics; stages with one candidate say nothing.
  """
  found = []
  for line in lines:
    losses = dict(line.get('losses', {}))
    if len(losses) > 1:
      (name,) = line['entered']
      own = losses.pop(name)
      found.append(min(abs(own - other) for other in losses.values()) / own)
  return statistics.mean(found) if found else None
