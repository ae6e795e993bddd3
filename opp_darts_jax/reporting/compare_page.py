"""Several runs on one page: what differs, what they came to, tests, cells."""

import pathlib
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opp_darts_jax import errors, files
from opp_darts_jax.reporting import (
  cell_picture,
  charts,
  head_parts,
  judgement,
  monitor_parts,
  page,
  run_files,
  styles,
  titles,
)
from opp_darts_jax.reporting.charts import Axis, Chart, Series
from opp_darts_jax.reporting.run_files import Run
from opp_darts_jax.running import comparison, comparison_table
from opp_darts_jax.running.metrics import METRICS

_SEED = 'seed'
# Folders and what follows from other fields tell no two runs apart.
_BESIDE = (_SEED, 'search_seeds', 'seeds', 'genotype', 'data.data_dir')
_FIRST = ('method', 'schedule.name', 'space', 'data.source')
_COLORS = 6
_DASHES = ('', '6 3', '2 2')


class Compared(NamedTuple):
  """A run on the page.

  Attributes:
    run: its files.
    name: of its folder, as short as tells it from the others.
    group: runs that differ in their seed alone have the same.
    seed: its seed.
    lines: of its metrics, shares and entropies among them.
  """

  run: Run
  name: str
  group: str
  seed: int
  lines: Sequence[Mapping[str, Any]]


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


class Cells(NamedTuple):
  """The cells that a run ended with."""

  name: str
  group: str
  pictures: Sequence[tuple[str, cell_picture.Picture]]


def write(
  workdirs: Sequence[str | pathlib.Path], out: str | pathlib.Path
) -> pathlib.Path:
  """Writes a page that compares runs.

  Args:
    workdirs: folders of searches or trainings, or of sweeps of them.
    out: path of the page.

  Returns:
    It.

  Raises:
    UserError: if there are not at least two runs, or a folder holds none, or
      files make no sense.
  """
  runs = [run_files.read_run(folder) for folder in _folders(workdirs)]
  if len(runs) < 2:
    raise errors.UserError(
      f'Expected at least two runs to compare, got {len(runs)}.'
    )
  path = pathlib.Path(out)
  with run_files.fitting(runs[0].workdir):
    text = _page(runs)
  path.parent.mkdir(parents=True, exist_ok=True)
  files.write_text(path, text)
  return path


def _folders(workdirs: Sequence[str | pathlib.Path]) -> list[pathlib.Path]:
  """The runs in folders: those that are runs, and those inside of others."""
  found: list[pathlib.Path] = []
  for given in workdirs:
    if not given:
      continue
    folder = pathlib.Path(given)
    inside = [folder]
    if folder.is_dir() and not (folder / METRICS).is_file():
      inside = sorted(path.parent for path in folder.rglob(METRICS))
    found += inside or [folder]
  return list(dict.fromkeys(found))


def compared(
  runs: Sequence[Run],
) -> tuple[list[Compared], dict[str, list[str]]]:
  """The runs with their groups, and what differs between the runs.

  Returns:
    The runs; by field whose values differ, those of each run.
  """
  fields = [head_parts.leaves(run.config) for run in runs]
  names = list(dict.fromkeys(name for own in fields for name in own))
  names.sort(key=lambda n: _FIRST.index(n) if n in _FIRST else len(_FIRST))
  differing = {
    name: [own.get(name, 'none') for own in fields]
    for name in names
    if name not in _BESIDE
    and len({own.get(name, 'none') for own in fields}) > 1
  }
  groups = [_group(own, list(differing)) for own in fields]
  found = [
    Compared(
      run,
      name,
      group,
      int(run.config.get(_SEED) or 0),
      monitor_parts.measured(run),
    )
    for run, name, group in zip(runs, _short_names(runs), groups)
  ]
  return found, differing


def _group(fields: Mapping[str, str], differing: Sequence[str]) -> str:
  """What a group is called: its method, and what else differs."""
  method, schedule = fields.get('method'), fields.get('schedule.name')
  parts = []
  if method is None:
    parts.append('training')
  elif 'method' in differing or 'schedule.name' in differing or not differing:
    parts.append(
      method if schedule in (None, 'plain') else f'{schedule}+{method}'
    )
  parts += [
    f'{name.rpartition(".")[2]}={fields.get(name, "none")}'
    for name in differing
    if name not in ('method', 'schedule.name') and name in fields
    and not name.startswith('schedule.')
  ]  # fmt: skip
  return styles.shown(' '.join(parts))


def _short_names(runs: Sequence[Run]) -> list[str]:
  """Their folders, without what all of them have in common."""
  parts = [run.workdir.resolve().parts for run in runs]
  shared = 0
  while all(len(p) > shared + 1 for p in parts) and (
    len({p[shared] for p in parts}) == 1
  ):
    shared += 1
  return [styles.shown('/'.join(p[shared:])) for p in parts]


def _page(runs: Sequence[Run]) -> str:
  found, differing = compared(runs)
  groups = list(dict.fromkeys(c.group for c in found))
  firsts = [next(c for c in found if c.group == group) for group in groups]
  index = [found.index(first) for first in firsts]
  rows = [_row(c) for c in found]
  summed = _summary(found, groups)
  drawn = styles.Styles({})
  return page.render(
    'compare.html.j2',
    groups=groups,
    colors=[_style(i) for i in range(len(groups))],
    differing={
      name: [styles.shown(values[i]) for i in index]
      for name, values in differing.items()
    },
    rows=rows,
    summed=summed,
    charts=_charts(found, groups),
    cells=[_cells(c) for c in found if c.run.genotype],
    legend=styles.legend(
      drawn[edge.operation]
      for c in found
      if c.run.genotype
      for cell in c.run.genotype.cells
      for edge in cell.edges
    ),
    written=time.strftime('%Y-%m-%d %H:%M:%S'),
  )


def _row(one: Compared) -> Row:
  run, ends = one.run, [r for r in one.lines if r['kind'] == 'epoch']
  kind = run.genotype.cells[0].kind if run.genotype else ''
  last = ends[-1] if ends else {}
  judged = judgement.judge(one.lines, run.space).level if run.is_search else ''
  known = [r for r in ends if r.get('eval_accuracy') is not None]
  return Row(
    one.name,
    one.group,
    one.seed,
    known[-1]['eval_accuracy'] if known else None,
    run.results.get('test_accuracy'),
    last.get(f'skip_share_{kind}'),
    judged,
    last.get(f'entropy_{kind}'),
    run.seconds,
    run.state,
  )


def _summary(
  found: Sequence[Compared], groups: Sequence[str]
) -> list[tuple[str, list[dict[str, Any]], list[str]]]:
  """By data set: a row a group, with tests against the first; notes."""
  runs = []
  for one in found:
    config, results = one.run.config, one.run.results
    numbers = {
      name: value
      for name, value in {**_row(one)._asdict(), **results}.items()
      if isinstance(value, int | float) and not isinstance(value, bool)
    }
    data = str((config.get('data') or {}).get('source')).removeprefix('tfds:')
    runs.append(
      {
        **numbers,
        'eval_accuracy': _row(one).accuracy,
        'config': styles.shown(data),
        'method': one.group,
        'seed': one.seed,
        'space': str(config.get('space')),
        'data': data,
        'search_seconds': one.run.seconds,
      }
    )
  measured = [
    run
    for run in runs
    if any(run.get(name) is not None for name in comparison.MEASURES)
  ]
  sets = []
  for name in dict.fromkeys(str(run['config']) for run in measured):
    own = [run for run in measured if run['config'] == name]
    names = [g for g in groups if any(run['method'] == g for run in own)]
    rows = comparison.summary(own, names)['methods']
    # A measure that not all have compares nothing.
    if rows:
      sets.append((name, rows, comparison_table.notes(rows)))
  return sets


def _style(index: int) -> tuple[str, str]:
  """Class and dash of a group."""
  return f'c{index % _COLORS}', _DASHES[index // _COLORS % len(_DASHES)]


def _charts(found: Sequence[Compared], groups: Sequence[str]) -> list[Chart]:
  """Curves, one a group: the mean over its runs, and what they span."""
  last = max([line['epoch'] + 1 for c in found for line in c.lines], default=1)
  axis = Axis(float(max(last, 1)), 'epoch', 1.0)
  kinds = [c.run.genotype.cells[0].kind for c in found if c.run.genotype]
  kind = kinds[0] if kinds else 'normal'
  wanted = [
    ('Accuracy on D_val', 'eval_accuracy', charts.percent, (None, None)),
    ('Test accuracy', 'test_accuracy', charts.percent, (None, None)),
    ('Training loss', 'train_loss', charts.number, (None, None)),
    ('Skip connections in the first cell', f'skip_share_{kind}',
     charts.percent, (0.0, 1.0)),
    ('Entropy of the operation weights', f'entropy_{kind}',
     charts.number, (0.0, 1.0)),
    ('Largest eigenvalue of the Hessian in alpha', 'eigenvalue',
     charts.number, (None, None)),
    ('Derived cell on D_val', 'derived_accuracy', charts.percent,
     (None, None)),
    ('Test accuracy of the cells, trained', 'truth_test_cifar10',
     charts.percent, (None, None)),
  ]  # fmt: skip
  made = []
  for title, key, text, bounds in wanted:
    series = [
      _spread(key, [c for c in found if c.group == group], *_style(i))
      for i, group in enumerate(groups)
    ]
    chart = charts.line_chart(title, series, axis, bounds=bounds, shown=text)
    made += [chart] if chart.lines else []
  return made


def _spread(key: str, runs: Sequence[Compared], css: str, dash: str) -> Series:
  """The mean of a number over runs, by epoch, and what they span."""
  values: dict[int, list[float]] = {}
  for run in runs:
    for line in run.lines:
      if line['kind'] == 'epoch' and line.get(key) is not None:
        values.setdefault(line['epoch'], []).append(float(line[key]))
  at = sorted(values)
  band = [(e + 1.0, min(values[e]), max(values[e])) for e in at]
  return Series(
    '',
    css,
    [(e + 1.0, statistics.mean(values[e])) for e in at],
    dash,
    band=band if len(runs) > 1 else (),
  )


def _cells(one: Compared) -> Cells:
  genotype = one.run.genotype
  assert genotype is not None
  drawn = styles.Styles(one.run.space, genotype.operations)
  return Cells(
    one.name,
    one.group,
    [
      (titles.kind_name(cell.kind), cell_picture.picture(cell, drawn))
      for cell in genotype.cells
    ],
  )
