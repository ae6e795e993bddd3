"""What the runs of a claim say of its predictions."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from claim import Claim, Correlation, Prediction, Row

from opp_darts_jax.running.sweeps.significance import SIGNIFICANT, holm, paired


class Verdict(NamedTuple):
  """What came of a prediction.

  Attributes:
    says: the prediction.
    n: pairs of searches with one seed, or searches that are correlated.
    difference: mean over pairs; None of a correlation.
    effect: from -1 (all against it) to 1 (all for it): the matched-pairs
      rank-biserial correlation of a difference, Spearman's of a correlation,
      negated where a negative one was predicted.
    p: one-sided, as predicted, of Wilcoxon's signed-rank test or Spearman's.
    p_holm: for all predictions of its family together.
    word: 'holds', 'does not hold' (the opposite is significant by itself),
      'undecided'.
  """

  says: str
  n: int
  difference: float | None
  effect: float
  p: float
  p_holm: float
  word: str


class _Found(NamedTuple):
  n: int
  difference: float | None
  effect: float
  p: float
  opposite_p: float


def verdicts(claim: Claim, runs: Sequence[Row]) -> list[Verdict]:
  """What the runs say of the predictions, those that have any runs.

  Args:
    claim: whose.
    runs: lines of `runs.csv`, numbers as numbers.
  """
  verdicts = []
  for family in dict.fromkeys(p.family for p in claim.predictions):
    known = [
      (prediction.says, found)
      for prediction in claim.predictions
      if prediction.family == family
      and (found := _look(prediction, runs)) is not None
    ]
    adjusted = holm([found.p for _, found in known])
    verdicts += [
      Verdict(says, *found[:4], p_holm, _word(p_holm, found.opposite_p))
      for (says, found), p_holm in zip(known, adjusted)
    ]
  return verdicts


def _word(p_holm: float, opposite_p: float) -> str:
  if p_holm < SIGNIFICANT:
    return 'holds'
  return 'does not hold' if opposite_p < SIGNIFICANT else 'undecided'


def _look(
  prediction: Prediction | Correlation, runs: Sequence[Row]
) -> _Found | None:
  if isinstance(prediction, Correlation):
    return _correlated(prediction, runs)
  return _compared(prediction, runs)


def _compared(prediction: Prediction, runs: Sequence[Row]) -> _Found | None:
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
  found = paired(*pairs, alternative='greater')
  opposite = paired(*pairs, alternative='less')
  return _Found(
    found.pairs, found.difference, found.effect, found.p, opposite.p
  )


def _correlated(prediction: Correlation, runs: Sequence[Row]) -> _Found | None:
  from scipy import stats  # Half a second to import.

  points = [
    (run[prediction.x], prediction.sign * run[prediction.y])
    for run in runs
    if run['variant'] in prediction.variants
    and None not in (run[prediction.x], run[prediction.y])
  ]
  if len({x for x, _ in points}) < 2 or len({y for _, y in points}) < 2:
    return None  # What is the same everywhere goes with nothing.
  columns = list(zip(*points))
  found, opposite = (
    stats.spearmanr(*columns, alternative=side) for side in ('greater', 'less')
  )
  return _Found(
    len(points),
    None,
    float(found.statistic),
    float(found.pvalue),
    float(opposite.pvalue),
  )


def summary(claim: Claim, runs: Sequence[Row]) -> list[Row]:
  """A line a variant: seeds, and mean and spread of each measure."""
  rows = []
  for name in claim.names:
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
    lines.append(f'{verdict.says}: {verdict.word}, p {verdict.p:.3f}')
  return '\n'.join(lines)


def shown(value: float | None) -> str:
  """A number as people read it."""
  if value is None:
    return '-'
  return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.4g}'
