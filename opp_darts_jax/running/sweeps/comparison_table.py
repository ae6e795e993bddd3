"""A comparison of methods as text: for the terminal, and for LaTeX."""

from collections.abc import Mapping, Sequence
from typing import Any

from opp_darts_jax.recorded import TRUTH_TEST
from opp_darts_jax.running.sweeps.significance import SIGNIFICANT
from opp_darts_jax.running.sweeps.table import aligned

Row = Mapping[str, Any]

_MEASURES = {
  'test_accuracy': 'test accuracy of the networks trained here',
  'eval_accuracy': 'accuracy of the supernet on D_val',
}


def text(found: Mapping[str, Any]) -> str:
  """A table for each config, and what is to be said of it.

  Args:
    found: what `comparison.summary` gives.
  """
  rows = found['methods']
  if not rows:
    return (
      f'None of {len(found["runs"])} finished runs has the measure.'
      if found['runs']
      else 'No run has finished yet.'
    )
  configs = dict.fromkeys(row['config'] for row in rows)
  return '\n\n'.join(
    _of_config([row for row in rows if row['config'] == config])
    for config in configs
  )


def _of_config(rows: Sequence[Row]) -> str:
  head = rows[0]
  heading = ['method', 'seeds', 'mean', 'std', 'least', 'largest',
             'difference', 'p', 'p Holm', 'effect', 'spearman', 'kendall',
             'seconds', 'published']  # fmt: skip
  table = [heading]
  for row in rows:
    table.append(
      [
        row['method'],
        str(row['seeds']),
        *(_number(row[n], 4) for n in ('mean', 'std', 'least', 'largest')),
        _number(row['difference'], 4, '+'),
        *(_number(row[name], 3) for name in ('p', 'p_holm')),
        _number(row['effect'], 2, '+'),
        *(_number(row[name], 2) for name in ('spearman', 'kendall')),
        _number(row['seconds'], 0),
        published_figures(row) or '-',
      ]
    )
  lines = [
    f'{head["config"]}: {measured(head["measure"])}',
    aligned(table, left=(0, len(heading) - 1)),
    *notes(rows),
  ]
  return '\n'.join(lines)


def notes(rows: Sequence[Row]) -> list[str]:
  """What has to be said beside the numbers of a config.

  Args:
    rows: of all its methods.
  """
  said = []
  tested = [row for row in rows if row['pairs']]
  if tested:
    pairs = {row['pairs'] for row in tested}
    at_most = 'at most ' if len(pairs) > 1 else ''
    least = min(row['least_p'] for row in tested)
    most = min(1.0, least * len(tested))
    said.append(
      f'Against {tested[0]["baseline"]}: Wilcoxon signed-rank over seeds, '
      'two-sided; effect is the rank-biserial correlation, -1 to 1.'
    )
    said.append(
      f'With {at_most}n = {max(pairs)} seeds in common p cannot be below '
      f'{least:.3g}, nor below {most:.3g} after Holm for {len(tested)} '
      f'{"methods" if len(tested) > 1 else "method"}'
      + (
        f': no difference can be significant at {SIGNIFICANT:g}.'
        if most > SIGNIFICANT
        else '.'
      )
    )
  for row in rows:
    for found in row['published']:
      spread = found['spread']
      said.append(
        f'Published, {row["method"]}: {found["accuracy"]:.4f}'
        + (f' +- {spread:.4f}' if spread is not None else '')
        + f' ({found["what"]}; {found["source"]})'
      )
  if any(row['published'] for row in rows):
    said.append(
      'Published figures are of the published size, images and epochs.'
    )
  return said


def published_figures(row: Row) -> str:
  """The published accuracies that belong beside a row, if there are any."""
  return ' / '.join(f'{found["accuracy"]:.4f}' for found in row['published'])


def latex(found: Mapping[str, Any]) -> str:
  """The table for LaTeX, with the package booktabs; percent."""
  lines = [
    r'% \usepackage{booktabs}',
    r'\begin{tabular}{llrrrrrrl}',
    r'\toprule',
    r'config & method & seeds & accuracy (\%) & difference & $p$ (Holm) & '
    r'effect & seconds & published (\%) \\',
    r'\midrule',
  ]
  for row in found['methods']:
    spread = '' if row['std'] is None else rf' \pm {100 * row["std"]:.2f}'
    figures = ' / '.join(f'{100 * f["accuracy"]:.2f}' for f in row['published'])
    cells = [
      _escaped(row['config']),
      _escaped(row['method']),
      str(row['seeds']),
      f'${100 * row["mean"]:.2f}{spread}$',
      _math(row['difference'], 2, 100),
      _math(row['p_holm'], 3, sign=''),
      _math(row['effect'], 2),
      _number(row['seconds'], 0),
      figures or '--',
    ]
    lines.append(' & '.join(cells) + r' \\')
  lines += [r'\bottomrule', r'\end{tabular}']
  return '\n'.join(lines) + '\n'


def measured(measure: str) -> str:
  """A measure in words."""
  data = measure.removeprefix(TRUTH_TEST)
  return _MEASURES.get(
    measure, f'test accuracy on {data} of the cells, trained, by table'
  )


def _number(value: float | None, places: int, sign: str = '') -> str:
  return '-' if value is None else f'{value:{sign}.{places}f}'


def _math(
  value: float | None, places: int, factor: int = 1, sign: str = '+'
) -> str:
  return '--' if value is None else f'${factor * value:{sign}.{places}f}$'


def _escaped(name: str) -> str:
  """A name as text of LaTeX."""
  plain = name.replace('\\', r'\textbackslash ')
  for character in '&%$#_{}':
    plain = plain.replace(character, f'\\{character}')
  return plain.replace('~', r'\textasciitilde ').replace(
    '^', r'\textasciicircum '
  )
