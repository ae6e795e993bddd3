"""What the page says of collapse: shares, entropies, gaps, eigenvalues."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods.signs import skip_share
from opp_darts_jax.reporting import alpha_tables, charts, judgement
from opp_darts_jax.reporting.charts import Axis, Chart, Series
from opp_darts_jax.reporting.judgement import Judgement
from opp_darts_jax.reporting.run_files import Run
from opp_darts_jax.reporting.styles import shown

# What published logs of searches say, of which no sentence claims more.
EIGENVALUE = (
  'In published logs of DARTS the eigenvalue follows the number of skip '
  'connections in space s1 (rank correlation 0.76) and does not in s3 (−0.04): '
  'where it rises, the search may be at risk; where it does not, that proves '
  'nothing.'
)


class Monitor(NamedTuple):
  """The section: its judgement, its charts, what is said below them."""

  judged: Judgement
  charts: Sequence[Chart]
  notes: Sequence[str]


def measured(run: Run) -> list[dict[str, Any]]:
  """The lines of a search, with shares and entropies where they lack them."""
  kinds = alpha_tables.cell_kinds(run.alphas)
  method = str(run.config.get('method') or '')
  tables = {line['epoch']: line for line in run.alphas}
  return [_measured(r, tables, kinds, method) for r in run.records]


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
    genotype = Genotype.from_dict(record['genotype'])
    for cell in genotype.cells:
      if cell.edges:
        share = skip_share(genotype, cell.kind)
        found.setdefault(f'skip_share_{cell.kind}', share)
  line = tables.get(record['epoch'], {})
  for kind in kinds:
    if f'entropy_{kind}' not in found and line and kind in line:
      weights = alpha_tables.edge_weights(line[kind], method)
      found[f'entropy_{kind}'] = alpha_tables.entropy(weights)
  return found


def monitor(run: Run, axis: Axis) -> Monitor | None:
  """The section; None if no epoch of a search has ended."""
  lines = measured(run)
  ends = [r for r in lines if r['kind'] == 'epoch']
  if not ends or not run.is_search:
    return None
  judged = judgement.judge(lines, run.space)
  kinds = list(run.genotype.kinds) if run.genotype else []
  if 'cell' in kinds and len(kinds) == 1:
    names = {'cell': 'cell'}
  else:
    names = {kind: kind for kind in kinds}
  found = [
    charts.line_chart(
      'Skip connections in the derived cells',
      [
        _series(ends, f'skip_share_{kind}', name, f'c{i}', axis, step=True)
        for i, (kind, name) in enumerate(names.items())
      ],
      axis,
      bounds=(0.0, 1.0),
      shown=charts.percent,
    ),
    charts.line_chart(
      'Entropy of the operation weights',
      [
        _series(ends, f'entropy_{kind}', name, f'c{i}', axis)
        for i, (kind, name) in enumerate(names.items())
      ],
      axis,
      bounds=(0.0, 1.0),
    ),
  ]
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
        shown=charts.percent,
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
  return Monitor(judged, [c for c in found if c.lines], notes)


def _series(
  records: Sequence[Mapping[str, Any]],
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
