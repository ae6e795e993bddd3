"""What the page says of collapse: shares, entropies, gaps, eigenvalues."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opp_darts_jax.methods.signs import skip_share
from opp_darts_jax.reporting import (
  alpha_tables,
  amounts,
  charts,
  derived,
  judgement,
)
from opp_darts_jax.reporting.axes import Axis
from opp_darts_jax.reporting.charts import Chart, Series
from opp_darts_jax.reporting.derived import genotype_of
from opp_darts_jax.reporting.judgement import Judgement
from opp_darts_jax.reporting.run_files import RunFiles
from opp_darts_jax.reporting.styles import shown

Record = Mapping[str, Any]

# What published logs of searches say, of which no sentence claims more.
EIGENVALUE = (
  'In published logs of DARTS the eigenvalue follows the number of skip '
  'connections in space s1 (rank correlation 0.76) and does not in s3 (−0.04): '
  'where it rises, the search may be at risk; where it does not, that proves '
  'nothing.'
)

# By what is measured: the flag of a search that asks for it.
FLAGS = {
  'derived_accuracy': '--config.monitor.derived=true',
  'eigenvalue': '--config.monitor.eigenvalue_epochs=1',
}


class Monitor(NamedTuple):
  """The section.

  Attributes:
    judged: the last judgement.
    levels: of all epochs, (first, last, level) of those alike.
    charts: of what it goes by.
    notes: what is said below them.
    flags: of a search that would measure what is not there.
  """

  judged: Judgement
  levels: Sequence[tuple[int, int, judgement.Level]]
  charts: Sequence[Chart]
  notes: Sequence[str]
  flags: Sequence[str]


def measured(run: RunFiles) -> list[dict[str, Any]]:
  """The lines of a search, with shares and entropies where they lack them.

  The last is that of what the search gave, if no epoch's line is it.
  """
  kinds = alpha_tables.cell_kinds(run.alphas)
  method = str(run.config.get('method') or '')
  tables = {line['epoch']: line for line in run.alphas}
  lines = [_measured(r, tables, kinds, method) for r in run.records]
  ends = [r for r in lines if r['kind'] == 'epoch']
  gave = derived.found(ends, run.genotype, run.results)
  return [*lines, gave] if gave else lines


def _measured(
  record: dict[str, Any],
  tables: Mapping[int, Mapping[str, Any]],
  kinds: Sequence[str],
  method: str,
) -> dict[str, Any]:
  if record['kind'] != 'epoch':
    return record
  found = dict(record)
  if record.get('genotype'):
    genotype = genotype_of(record)
    for cell in genotype.cells:
      if cell.edges:
        share = skip_share(genotype, cell.kind)
        found.setdefault(f'skip_share_{cell.kind}', share)
  line = tables.get(record['epoch'], {})
  for kind in kinds:
    if f'entropy_{kind}' not in found and line and kind in line:
      weights = alpha_tables.weights_of(line, kind, method)
      found[f'entropy_{kind}'] = alpha_tables.entropy(weights)
  return found


def monitor(run: RunFiles, axis: Axis) -> Monitor | None:
  """The section; None if no epoch of a search has ended."""
  lines = measured(run)
  ends = [r for r in lines if r['kind'] == 'epoch']
  if not ends or not run.is_search:
    return None
  found = _shares(run, ends, axis)
  notes = [
    'Entropy is 1 where the operations of an edge weigh the same and 0 where '
    'one alone counts; it is the mean over edges that have a choice.'
  ]
  if any(r.get('derived_accuracy') is not None for r in ends):
    found.append(
      charts.line_chart(
        'Supernet and derived cell on D_val',
        [
          _series(ends, 'eval_accuracy', 'supernet', 'c0', axis),
          _series(ends, 'derived_accuracy', 'derived', 'c2', axis),
        ],
        axis,
        shown=amounts.percent,
      )
    )
    notes.append(
      'The derived cell is tried inside the supernet, with its weights and the '
      'statistics of each batch: what lies between the lines is what deriving '
      'costs before training anew.'
    )
  if any(r.get('eigenvalue') is not None for r in ends):
    found.append(
      charts.line_chart(
        'Largest eigenvalue of the Hessian in alpha',
        [_series(ends, 'eigenvalue', 'eigenvalue', 'c3', axis)],
        axis,
      )
    )
    notes.append(EIGENVALUE)
  return Monitor(
    judgement.judge(lines, run.space),
    judgement.levels(lines, run.space),
    [c for c in found if c.lines],
    notes,
    [
      flag
      for key, flag in FLAGS.items()
      if all(r.get(key) is None for r in ends)
    ],
  )


def _shares(run: RunFiles, ends: Sequence[Record], axis: Axis) -> list[Chart]:
  """Skip connections and entropies, a line a kind of cell."""
  kinds = list(run.genotype.kinds) if run.genotype else []
  return [
    charts.line_chart(
      title,
      [
        _series(ends, f'{key}_{kind}', kind, f'c{i}', axis, step=step)
        for i, kind in enumerate(kinds)
      ],
      axis,
      bounds=(0.0, 1.0),
      shown=text,
    )
    for title, key, text, step in (
      (
        'Skip connections in the derived cells',
        'skip_share',
        amounts.percent,
        True,
      ),
      ('Entropy of the operation weights', 'entropy', amounts.number, False),
    )
  ]


def _series(
  records: Sequence[Record],
  key: str,
  name: str,
  css: str,
  axis: Axis,
  step: bool = False,
) -> Series:
  points = [
    (axis.of(r), float(r[key])) for r in records if r.get(key) is not None
  ]
  return Series(shown(name), css, points, step=step)
