"""A claim: what is expected, written down before it is run, and what came.

    python experiments/evidence/CLAIM.py --jobs=2

runs the searches of a claim that are not finished, in runs/evidence/CLAIM, and
writes into experiments/evidence/results/CLAIM what they came to, the same to
the bit whenever it is run on the same kind of machine: `runs.csv`, a search a
line; `epochs.csv`, an epoch a line. `seconds.csv` has what they took. A claim
that is stopped goes on by the same command.
"""

import argparse
import csv
import json
import os
import pathlib
import shlex
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opp_darts_jax import errors
from opp_darts_jax.running import compare, sweep
from opp_darts_jax.running.compare import write_csv
from opp_darts_jax.running.metrics import read_epochs
from opp_darts_jax.running.paired import Paired, holm, paired

RESULTS = pathlib.Path(__file__).parent / 'results'
Row = dict[str, Any]

_SIGNIFICANT = 0.05


class Prediction(NamedTuple):
  """That one variant is better than another, or worse.

  Attributes:
    variant: the one of which something is said.
    than: the other.
    more: the measure of which it has more, with every seed the same for both.
    says: the prediction in words.
  """

  variant: str
  than: str
  more: str
  says: str


class Claim(NamedTuple):
  """What is asked, expected and run.

  Attributes:
    name: of the claim, its file and its results.
    question: in a sentence.
    predictions: what is expected; committed before any result.
    settings: in words: what was chosen, and why.
    config: that all searches have.
    flags: further flags of all, as a shell has them.
    variants: what is compared: further flags by name.
    seeds: of every variant.
    measures: columns of `runs.csv` that the page shows.
    curves: numbers of `epochs.csv` that it draws.
    hours: that it takes two cores, about.
  """

  name: str
  question: str
  predictions: tuple[Prediction, ...]
  settings: str
  config: str
  flags: str
  variants: Mapping[str, str]
  seeds: tuple[int, ...]
  measures: tuple[str, ...]
  curves: tuple[str, ...]
  hours: float


class Verdict(NamedTuple):
  """What came of a prediction.

  Attributes:
    prediction: which.
    found: the paired comparison, one-sided as predicted.
    p_holm: for all predictions of the claim together.
    word: 'holds', 'does not hold' (the opposite is significant), 'undecided'.
  """

  prediction: Prediction
  found: Paired
  p_holm: float
  word: str


def main(claim: Claim) -> None:
  """Runs a claim by the flags of the command line."""
  parser = argparse.ArgumentParser(description=claim.question)
  parser.add_argument('--jobs', type=int, default=1, help='searches at a time')
  parser.add_argument('--workdir', default=f'runs/evidence/{claim.name}')
  parser.add_argument('--seeds', default='', help='of the claim, only these')
  parser.add_argument(
    '--search_flags', default='', help='of where things are, not of what is run'
  )
  given = parser.parse_args()
  # One thread a search: numbers are the same however many cores there are.
  os.environ['NPROC'] = '1'
  seeds = tuple(map(int, filter(None, given.seeds.split(','))))
  try:
    run(
      claim,
      pathlib.Path(given.workdir),
      given.jobs,
      seeds,
      shlex.split(given.search_flags),
    )
  except errors.UserError as error:
    raise SystemExit(f'error: {error}') from error


def run(
  claim: Claim,
  workdir: pathlib.Path,
  jobs: int = 1,
  seeds: Sequence[int] = (),
  search_flags: Sequence[str] = (),
  results: pathlib.Path = RESULTS,
) -> None:
  """Runs what is not finished of a claim, and writes what came.

  Args:
    claim: to run.
    workdir: of its searches.
    jobs: searches at a time.
    seeds: of the claim's, those to run; none is all.
    search_flags: that change no number, such as `--config.data.data_dir`.
    results: the folder of all claims' results.
  """
  searches = sweep.Sweep(
    (claim.config,),
    tuple(seeds) or claim.seeds,
    workdir,
    train=False,
    search_flags=(*shlex.split(claim.flags), *search_flags),
    variants=tuple(
      sweep.Variant(name, tuple(shlex.split(flags)))
      for name, flags in claim.variants.items()
    ),
  )

  def sum_up(done: Sequence[sweep.Run]) -> tuple[Row, str]:
    folder = results / claim.name
    folder.mkdir(parents=True, exist_ok=True)
    runs = [_of_run(claim, run) for run in done]
    write_csv(folder / 'runs.csv', runs)
    write_csv(folder / 'epochs.csv', [e for r in done for e in _epochs_of(r)])
    write_csv(folder / 'seconds.csv', [_seconds_of(run) for run in done])
    return {}, text(claim, runs)

  sweep.run_sweep(searches, jobs, sum_up)


def _of_run(claim: Claim, run: sweep.Run) -> Row:
  found = compare.outcome(run)
  last = read_epochs(run.folders[0])
  # A search without an epoch of its own ends with what it began with.
  known = {**(last[-1] if last else {}), **found}
  named = {name: known.get(name) for name in claim.measures}
  return {'variant': run.variant, 'seed': run.seed, **named}


def _epochs_of(run: sweep.Run) -> list[Row]:
  return [
    {
      'variant': run.variant,
      'seed': run.seed,
      **{k: v for k, v in epoch.items() if isinstance(v, int | float)},
    }
    for epoch in read_epochs(run.folders[0])
  ]


def _seconds_of(run: sweep.Run) -> Row:
  seconds = compare.outcome(run)['search_seconds']
  return {'variant': run.variant, 'seed': run.seed, 'seconds': seconds}


def verdicts(claim: Claim, runs: Sequence[Row]) -> list[Verdict]:
  """What the runs say of the predictions, those that have any runs.

  Args:
    claim: whose.
    runs: lines of `runs.csv`, numbers as numbers.
  """
  known = [
    (prediction, found)
    for prediction in claim.predictions
    if (found := _compared(prediction, runs)) is not None
  ]
  adjusted = holm([found.p for _, found in known])
  return [
    Verdict(prediction, found, p, _word(found, p, prediction, runs))
    for (prediction, found), p in zip(known, adjusted)
  ]


def _compared(
  prediction: Prediction, runs: Sequence[Row], opposite: bool = False
) -> Paired | None:
  own, other = (
    {
      run['seed']: run[prediction.more]
      for run in runs
      if run['variant'] == name and run[prediction.more] is not None
    }
    for name in (prediction.variant, prediction.than)
  )
  shared = [seed for seed in own if seed in other]
  if not shared:
    return None
  pairs = [own[s] for s in shared], [other[s] for s in shared]
  side = 'less' if opposite else 'greater'
  return paired(*pairs, alternative=side)


def _word(
  found: Paired, p_holm: float, prediction: Prediction, runs: Sequence[Row]
) -> str:
  if p_holm < _SIGNIFICANT:
    return 'holds'
  opposite = _compared(prediction, runs, opposite=True)
  if opposite is not None and opposite.p < _SIGNIFICANT:
    return 'does not hold'
  return 'undecided'


def summary(claim: Claim, runs: Sequence[Row]) -> list[Row]:
  """A line a variant: seeds, and mean and spread of each measure."""
  rows = []
  for name in claim.variants:
    own = [run for run in runs if run['variant'] == name]
    row: Row = {'variant': name, 'n': len(own)}
    for measure in claim.measures:
      values = [run[measure] for run in own if run[measure] is not None]
      row[measure] = statistics.mean(values) if values else None
      spread = statistics.stdev(values) if len(values) > 1 else None
      row[f'{measure} std'] = spread
    if own:
      rows.append(row)
  return rows


def text(claim: Claim, runs: Sequence[Row]) -> str:
  """What the runs came to, for the terminal."""
  lines = []
  for row in summary(claim, runs):
    figures = ', '.join(
      f'{m} {shown(row[m])} +- {shown(row[f"{m} std"])}' for m in claim.measures
    )
    lines.append(f'{row["variant"]} (n = {row["n"]}): {figures}')
  for verdict in verdicts(claim, runs):
    lines.append(
      f'{verdict.prediction.says}: {verdict.word}, p {verdict.found.p:.3f}'
    )
  return '\n'.join(lines)


def shown(value: float | None) -> str:
  """A number as people read it."""
  return '-' if value is None else f'{value:.4g}'


def read_csv(path: pathlib.Path) -> list[Row]:
  """The lines of a file, numbers as numbers, nothing as None."""
  with open(path, encoding='utf-8', newline='') as file:
    return [
      {name: _value(name, text) for name, text in row.items()}
      for row in csv.DictReader(file)
    ]


def _value(name: str, text: str) -> Any:
  return text if name == 'variant' else json.loads(text or 'null')
