"""docs/evidence.md from the results of the claims, as they are.

python experiments/evidence/page.py

Writes a picture a claim beside it, docs/evidence/CLAIM.svg.
"""

import importlib
import pathlib
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
from claim import RESULTS, Claim, read_csv
from matplotlib import figure
from verdicts import shown, summary, verdicts

DOCS = pathlib.Path(__file__).parents[2] / 'docs'
NAMES = ('nasbench201', 'spaces', 'second_order')

_HEAD = """\
# Evidence

What was claimed before it was run, and what came of it. Each claim is a file in
`experiments/evidence`, with its hypotheses in it (git shows that they are older
than the results), and its numbers are in `experiments/evidence/results`, the
same to the bit for the same seeds on the same kind of machine. This page is
made from them by `python experiments/evidence/page.py`. Tests are Wilcoxon's
signed-rank tests of pairs with one seed, one-sided, as predicted; Holm's
correction is over the predictions of one kind. "Undecided" is no evidence for
the opposite: it says that these seeds cannot tell.
"""


def write() -> None:
  """Writes the page and its pictures."""
  parts = [_HEAD]
  for name in NAMES:
    claim = importlib.import_module(name).CLAIM
    folder = RESULTS / name
    if (folder / 'runs.csv').exists():
      parts.append(section(claim, folder))
  (DOCS / 'evidence.md').write_text('\n'.join(parts), encoding='utf-8')


def section(claim: Claim, folder: pathlib.Path) -> str:
  """A claim as Markdown.

  Args:
    claim: the claim.
    folder: of its results.
  """
  runs = read_csv(folder / 'runs.csv')
  hours = sum(r['seconds'] for r in read_csv(folder / 'seconds.csv')) / 3600
  _picture(claim, read_csv(folder / 'epochs.csv'))
  lines = [
    f'## {claim.question}\n',
    textwrap.fill(claim.settings, 80) + '\n',
    f'    python experiments/evidence/{claim.name}.py --jobs=2\n',
    f'{len(runs)} searches, {hours:.1f} hours of searching one by one.\n',
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
  return '\n'.join(lines) + '\n'


def _table(claim: Claim, runs: Sequence[dict[str, Any]]) -> list[str]:
  measures = claim.measures
  lines = [
    f'| | n | {" | ".join(measures)} |',
    '|---' * (len(measures) + 2) + '|',
  ]
  for row in summary(claim, runs):
    cells = [
      shown(row[m])
      + ('' if row[f'{m} std'] is None else f' ± {shown(row[f"{m} std"])}')
      for m in measures
    ]
    lines.append(f'| {row["variant"]} | {row["n"]} | {" | ".join(cells)} |')
  return lines


def _picture(claim: Claim, epochs: Sequence[dict[str, Any]]) -> None:
  fig = figure.Figure(
    figsize=(4.2 * len(claim.curves), 3.4), layout='constrained'
  )
  axes = fig.subplots(1, len(claim.curves), squeeze=False)[0]
  for ax, measure in zip(axes, claim.curves):
    for place, variant in enumerate(claim.names):
      own = [e for e in epochs if e['variant'] == variant]
      by_epoch: dict[int, list[float]] = {}
      for line in own:
        if line.get(measure) is not None:
          by_epoch.setdefault(line['epoch'], []).append(line[measure])
      if by_epoch:
        means = [sum(v) / len(v) for v in by_epoch.values()]
        style = ('-', '--', ':')[place // 10]
        ax.plot(
          list(by_epoch), means, style, label=variant, color=f'C{place % 10}'
        )
    ax.set_xlabel('epoch')
    ax.set_ylabel(measure)
    ax.grid(alpha=0.3)
  axes[-1].legend(
    fontsize='x-small', loc='center left', bbox_to_anchor=(1, 0.5)
  )
  folder = DOCS / 'evidence'
  folder.mkdir(exist_ok=True)
  with matplotlib.rc_context(
    {'svg.fonttype': 'none', 'svg.hashsalt': claim.name}
  ):
    fig.savefig(folder / f'{claim.name}.svg', metadata={'Date': None})


if __name__ == '__main__':
  write()
