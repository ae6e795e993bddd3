"""docs/evidence.md from the results of the claims, as they are.

python experiments/evidence/page.py

Writes a picture a claim beside it, docs/evidence/CLAIM.svg.
"""

import collections
import importlib
import pathlib
import textwrap
from collections.abc import Sequence
from typing import Any

from claim import RESULTS, Claim, read_csv
from verdicts import shown, summary, verdicts

from opp_darts_jax import files
from opp_darts_jax.reporting import curves, page, sheets

DOCS = pathlib.Path(__file__).parents[2] / 'docs'
NAMES = (
  'nasbench201',
  'order',
  'spaces',
  'stages',
  'collapse',
  'published',
  'second_order',
)

_HEAD = """\
# Evidence

What was claimed before it was run, and what came of it. Each claim is a file in
`experiments/evidence`, with its hypotheses in it (git shows that they are older
than the results), and its numbers are in `experiments/evidence/results`, the
same to the bit for the same seeds on the same kind of machine (on another kind
the same search rounds otherwise, and can end with another cell). Only
`eval_loss` is not: all rows but GDAS's are from before evaluation on CPU went
by the C++ kernels, which round otherwise. Run again since, a search had the
same to the bit in its 20 epochs but for that, in the seventh digit of two of
four. This page is made from them by `python experiments/evidence/page.py`.
Tests are Wilcoxon's signed-rank tests of pairs with one seed, one-sided, as
predicted; Holm's correction is over the predictions of one kind. "Undecided" is
no evidence for the opposite: it says that these seeds cannot tell. Seconds are
of a machine that did other work too.
"""

_TAIL = """\
## The paper's size

    python experiments/evidence/paper.py --workdir=runs/paper
    python experiments/evidence/paper.py --hours --target=h100

runs the paper's tables on one GPU, and goes on where it was cut off; the
second says how long that takes, at best: a step of the search was measured to
take four times its model (docs/speed.md). CIFAR-10 on an H100, modelled: five
searches of 0.33 hours, five short trainings of 1.1 to choose by, tested on
training images held out, and ten trainings of 6.0: 67 hours. S2 likewise: four
searches of 0.41, four short trainings of 1.08, three trainings of 5.9: 24
hours, S3, of 0.32, 1.26 and 6.0: 24 hours, and S4, of 0.36, 1.19 and 6.35: 25
hours. ImageNet, the one training of CIFAR-10's cell: 35 hours. Compiling is
among them, as long as it took one or two busy cores here: more than half of a
search, little of a training. None of these has been run.
"""


def write() -> None:
  """Writes the page and its pictures."""
  parts = [_HEAD]
  for name in NAMES:
    claim = importlib.import_module(name).CLAIM
    folder = RESULTS / name
    if (folder / 'runs.csv').exists():
      parts.append(section(claim, folder))
  parts.append(_TAIL)
  files.write_text(DOCS / 'evidence.md', '\n'.join(parts))


def section(claim: Claim, folder: pathlib.Path) -> str:
  """A claim as Markdown.

  Args:
    claim: the claim.
    folder: of its results.
  """
  runs = read_csv(folder / 'runs.csv')
  took = read_csv(folder / 'seconds.csv')
  seconds = {(row['variant'], row['seed']): row['seconds'] for row in took}
  hours = sum(seconds.values()) / 3600
  machines = ', '.join(
    f'{machine} ({count})'
    for machine, count in collections.Counter(
      row['machine'] for row in took
    ).items()
  )
  for run in runs:
    run['seconds'] = seconds[run['variant'], run['seed']]
  pictures = DOCS / 'evidence'
  pictures.mkdir(exist_ok=True)
  files.write_text(
    pictures / f'{claim.name}.svg',
    picture(claim, read_csv(folder / 'epochs.csv')),
  )
  lines = [
    f'## {claim.question}\n',
    textwrap.fill(claim.settings, 80) + '\n',
    f'    python experiments/evidence/{claim.name}.py --jobs=2\n',
    textwrap.fill(
      f'{len(runs)} searches, {hours:.1f} hours of searching one by one, on '
      f'{machines}.',
      80,
    )
    + '\n',
    *_table(claim, runs),
    '',
    f'![By epoch: {claim.question}](evidence/{claim.name}.svg)\n',
    '| predicted | n | difference | p | p Holm | effect | verdict |',
    '|---|---|---|---|---|---|---|',
  ]
  for found in verdicts(claim, runs):
    mean = '' if found.difference is None else f'{found.difference:+.4g}'
    lines.append(
      f'| {found.says} | {found.n} | {mean} | {found.p:.3f} | '
      f'{found.p_holm:.3f} | {found.effect:+.2f} | {found.word} |'
    )
  if claim.conclusion:
    lines += ['', textwrap.fill(claim.conclusion, 80)]
  return '\n'.join(lines) + '\n'


def _table(claim: Claim, runs: Sequence[dict[str, Any]]) -> list[str]:
  measures = {**claim.measures, 'seconds': 'seconds'}
  lines = [
    f'| | n | {" | ".join(measures.values())} |',
    '|---' * (len(measures) + 2) + '|',
  ]
  for row in summary(claim._replace(measures=measures), runs):
    cells = [
      shown(row[m])
      + ('' if row[f'{m} std'] is None else f' ± {shown(row[f"{m} std"])}')
      for m in measures
    ]
    lines.append(f'| {row["variant"]} | {row["n"]} | {" | ".join(cells)} |')
  return lines


def picture(claim: Claim, epochs: Sequence[dict[str, Any]]) -> str:
  """The curves of a claim as SVG: a row of charts a measure, one a variant."""
  lines = {
    variant: own
    for variant in claim.names
    if (own := [line for line in epochs if line['variant'] == variant])
  }
  axis = curves.axis_of(epochs)
  parts = [
    curves.one_by_one(key, lines, axis)._replace(
      name=f'{claim.measures[key]}, by epoch'
    )
    for key in claim.curves
  ]
  return page.render(
    'picture.svg.j2',
    kind='sheet',
    figure=sheets.sheet(parts, columns=4),
    title=claim.question,
  )


if __name__ == '__main__':
  write()
