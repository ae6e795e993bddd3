"""What the page that compares runs shows of them: tables, curves, cells."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from opp_darts_jax.recorded import TRUTH_TEST, is_number
from opp_darts_jax.reporting import (
  amounts,
  cell_picture,
  charts,
  curves,
  judgement,
  styles,
  titles,
)
from opp_darts_jax.reporting.axes import Bounds
from opp_darts_jax.reporting.charts import Chart
from opp_darts_jax.reporting.compared import ComparedRun
from opp_darts_jax.running.sweeps import comparison, comparison_table
from opp_darts_jax.running.sweeps.significance import SIGNIFICANT


class Row(NamedTuple):
  """A line of the table of runs; None is what there is not."""

  name: str
  group: str
  seed: int
  accuracy: float | None
  test: float | None
  skips: float | None
  level: str
  entropy: float | None
  seconds: float
  state: str


class Set(NamedTuple):
  """What the settings came to on a data set.

  Attributes:
    data: its name, which none of others has.
    measure: what they are judged by, in words.
    rows: one a setting, as `comparison.summary` has them.
    notes: what has to be said beside them.
  """

  data: str
  measure: str
  rows: Sequence[dict[str, Any]]
  notes: Sequence[str]


class Cells(NamedTuple):
  """The cells that a run ended with, and how it was judged at its epochs."""

  name: str
  group: str
  levels: Sequence[tuple[int, int, str]]
  pictures: Sequence[tuple[str, cell_picture.Picture]]


def row(one: ComparedRun) -> Row:
  """A run's line of the table of runs."""
  run, last = one.run, one.ended
  judged = judgement.judge(one.lines, run.space).level if run.is_search else ''
  # A search that ends between two evaluations is evaluated once more.
  lines = (*one.epochs, run.results)
  known = [r for r in lines if r.get('eval_accuracy') is not None]
  return Row(
    one.name,
    one.group,
    one.seed,
    known[-1]['eval_accuracy'] if known else None,
    run.results.get('test_accuracy'),
    last.get('skip_share'),
    judged,
    last.get('entropy'),
    run.seconds,
    run.state,
  )


def summary(found: Sequence[ComparedRun], groups: Sequence[str]) -> list[Set]:
  """Tests against the first group, and notes: a row a group.

  By data set, and searches apart from trainings, which other numbers judge;
  of runs that have finished. Trainings make pairs by the seed of their search
  and their own.
  """
  runs: list[dict[str, Any]] = []
  for one in found:
    if not one.run.results:
      continue
    config, results = one.run.config, one.run.results
    numbers = {
      name: value
      for name, value in {**row(one)._asdict(), **results}.items()
      if is_number(value)
    }
    runs.append(
      {
        **numbers,
        'eval_accuracy': row(one).accuracy,
        'config': styles.shown(one.images.name),
        'method': one.group,
        'seed': (one.search_seed, one.seed),
        'space': str(config.get('space')),
        'data': one.images.source,
        'search_seconds': one.run.seconds,
        'searches': one.run.is_search,
      }
    )
  measured = [
    run
    for run in runs
    if any(run.get(name) is not None for name in comparison.MEASURES)
  ]
  sets = []
  kinds = [(str(run['config']), run['searches']) for run in measured]
  for name, searches in dict.fromkeys(kinds):
    own = [r for r, kind in zip(measured, kinds) if kind == (name, searches)]
    # Beside a cell of no known search, the own seed is all there is.
    if any(run['seed'][0] is None for run in own):
      own = [run | {'seed': run['seed'][1]} for run in own]
    names = [g for g in groups if any(run['method'] == g for run in own)]
    rows = comparison.summary(own, names)['methods']
    # A measure that not all have compares nothing.
    if rows:
      measure = comparison_table.measured(rows[0]['measure'])
      sets.append(Set(name, measure, rows, comparison_table.notes(rows)))
  return sets


def sentence(found: Sequence[ComparedRun], sets: Sequence[Set]) -> str:
  """What the comparison came to, and how many searches collapsed.

  Of runs that have finished; it says how many have not.
  """
  said = [_of_set(one) for one in sets]
  levels: dict[str, list[str]] = {}
  for one in found:
    if one.run.is_search and one.run.results:
      levels.setdefault(one.group, []).append(row(one).level)
  counts = [
    f'{own.count("collapsed")} of {len(own)} by {group}'
    for group, own in levels.items()
  ]
  if counts:
    said.append(f'Judged as collapsed: {", ".join(counts)}.')
  unfinished = sum(not one.run.results for one in found)
  if unfinished:
    said.append(
      f'{unfinished} of {len(found)} runs have not finished and count in no '
      'mean but those of the curves.'
    )
  return ' '.join(said)


def _of_set(one: Set) -> str:
  """Which setting is ahead on a data set, and whether a test says so."""
  best = max(one.rows, key=lambda r: float(r['mean']))
  said = f'On {one.data}, {best["method"]} has the highest {one.measure}'
  seeds = amounts.counted(best['seeds'], 'seed')
  said += f', {best["mean"]:.4f} ({seeds})'
  tested = [r for r in one.rows if r['p_holm'] is not None]
  differ = [r['method'] for r in tested if r['p_holm'] < SIGNIFICANT]
  if not tested:
    return f'{said}.'
  first = tested[0]['baseline']
  if not differ and first == best['method']:
    return f'{said}; no other differs from it significantly.'
  if not differ:
    return f'{said}; no difference from {first} is significant.'
  names = ', '.join(differ)
  return f'{said}; significantly different from {first}: {names}.'


def charts_of(
  found: Sequence[ComparedRun], groups: Sequence[str]
) -> list[Chart]:
  """Curves, one a group: the mean over its runs, and what they span."""
  axis = curves.axis_of([line for one in found for line in one.lines])
  kinds = {c.kind for c in found if c.kind}
  cell = (
    titles.kind_name(min(kinds)).lower() if len(kinds) == 1 else 'first cell'
  )
  share, free = (0.0, 1.0), (None, None)
  wanted: list[tuple[str, str, Callable[[float], str], Bounds]] = [
    ('Accuracy on D_val', 'eval_accuracy', amounts.percent, free),
    ('Test accuracy', 'test_accuracy', amounts.percent, free),
    ('Training loss', 'train_loss', amounts.number, free),
    (
      f'Skip connections in the {cell}',
      'skip_share',
      amounts.percent,
      share,
    ),
    ('Entropy of the operation weights', 'entropy', amounts.number,
     share),
    ('Largest eigenvalue of the Hessian in alpha', 'eigenvalue',
     amounts.number, free),
    ('Derived cell on D_val', 'derived_accuracy', amounts.percent, free),
    ('Test accuracy of the cells, trained', f'{TRUTH_TEST}cifar10',
     amounts.percent, free),
  ]  # fmt: skip
  made = []
  for title, key, text, bounds in wanted:
    series = [
      curves.spread(
        key,
        [e for c in found if c.group == group for e in c.epochs],
        *styles.line(i),
      )
      for i, group in enumerate(groups)
    ]
    chart = charts.line_chart(title, series, axis, bounds=bounds, shown=text)
    made += [chart] if chart.lines else []
  return made


def cells(one: ComparedRun) -> Cells:
  """The cells that a run ended with."""
  genotype = one.run.genotype
  assert genotype is not None
  drawn = styles.Styles(one.run.space, genotype.operations)
  return Cells(
    one.name,
    one.group,
    judgement.levels(one.lines, one.run.space) if one.run.is_search else (),
    [
      (titles.kind_name(cell.kind), cell_picture.picture(cell, drawn))
      for cell in genotype.cells
    ],
  )
