"""The path of a search through what is known of the cells that it passed."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import figure, ticker

from opp_darts_jax.reporting import curves

Record = Mapping[str, Any]

_TEST, _REGRET, _RANK = 'truth_test_', 'truth_regret_', 'truth_rank'
_COLORS = ('#4477aa', '#228833', '#aa3377', '#ccbb44')


def known_epochs(records: Sequence[Record]) -> list[Record]:
  """The epochs whose cell the space knew."""
  return [
    r
    for r in records
    if r['kind'] == 'epoch' and any(name.startswith(_TEST) for name in r)
  ]


def plot_truth(records: Sequence[Record]) -> figure.Figure:
  """Test accuracies of the cell of each epoch, the best there are, its rank.

  Args:
    records: the lines of a search, some of which have `truth_` fields.
  """
  position, unit = curves.time_axis(records)
  found = known_epochs(records)
  names = list(
    dict.fromkeys(n for r in found for n in r if n.startswith(_TEST))
  )
  fig = figure.Figure(figsize=(9.6, 3.2), layout='constrained')
  accuracy, rank = fig.subplots(1, 2, sharex=True)
  marked = {'drawstyle': 'steps-post', 'marker': 'o', 'markersize': 3}
  for index, name in enumerate(names):
    data, color = name.removeprefix(_TEST), _COLORS[index % len(_COLORS)]
    known = [r for r in found if r.get(name) is not None]
    at = [position(r) for r in known]
    accuracy.plot(at, [r[name] for r in known], color=color, label=data,
                  **marked)  # fmt: skip
    best = [r[name] + r[f'{_REGRET}{data}'] for r in known
            if r.get(f'{_REGRET}{data}') is not None]  # fmt: skip
    if best:
      accuracy.axhline(max(best), color=color, linewidth=1, linestyle='--')
  curves.tidy(accuracy, 'test accuracy, trained (dashed: best)')
  accuracy.yaxis.set_major_formatter(ticker.PercentFormatter(1.0))
  accuracy.legend(frameon=False, fontsize=8, ncols=len(names),
                  loc='lower left', bbox_to_anchor=(0, 1))  # fmt: skip
  ranked = [r for r in found if r.get(_RANK) is not None]
  rank.plot([position(r) for r in ranked], [r[_RANK] for r in ranked],
            color=_COLORS[0], **marked)  # fmt: skip
  curves.tidy(rank, 'rank of the cell')
  # Best at the top; the first hundred shall not look like one.
  rank.set_yscale('log')
  rank.set_ylim(bottom=max([1, *(r[_RANK] for r in ranked)]) * 1.5, top=0.8)
  rank.yaxis.set_major_formatter(ticker.StrMethodFormatter('{x:,.0f}'))
  for ax in (accuracy, rank):
    ax.set_xlabel(unit)
  return fig
