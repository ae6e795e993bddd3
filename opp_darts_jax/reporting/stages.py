"""The picture of the stages: what each candidate scored, which one entered."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import axes, figure, ticker

from opp_darts_jax.reporting import styles

Record = Mapping[str, Any]


def scored_stages(records: Sequence[Record]) -> list[Record]:
  """The stages at which candidates were compared."""
  return [r for r in records if r['kind'] == 'stage' and r.get('losses')]


def plot_stages(
  records: Sequence[Record], drawn: Mapping[str, str] = styles.BY_NAME
) -> figure.Figure:
  """A panel for each stage: the operation loss of each candidate.

  The operation that entered is filled, the others are hollow.

  Args:
    records: the lines of a search.
    drawn: kinds of operations, see `styles.drawn_kinds`.
  """
  stages = scored_stages(records)
  names = list(dict.fromkeys(n for stage in stages for n in stage['losses']))
  columns = min(len(stages), 4)
  rows = math.ceil(len(stages) / columns)
  fig = figure.Figure(
    figsize=(1.3 + 2.3 * columns, (0.9 + 0.27 * len(names)) * rows),
    layout='constrained',
  )
  grid = fig.subplots(rows, columns, sharey=True, squeeze=False)
  for ax in grid.flat[len(stages) :]:
    ax.set_axis_off()
  for index, (ax, stage) in enumerate(zip(grid.flat, stages)):
    _plot_stage(ax, stage, names, drawn)
    ax.set_yticks(range(len(names)), map(styles.shown, names))
    ax.set_ylim(len(names) - 0.5, -0.5)
    if index + columns >= len(stages):  # none below it
      ax.set_xlabel('operation loss')
  return fig


def _plot_stage(
  ax: axes.Axes,
  stage: Record,
  names: Sequence[str],
  drawn: Mapping[str, str],
) -> None:
  scores = {n: s for n, s in stage['losses'].items() if s is not None}
  entered = stage.get('entered') or []
  for name, score in scores.items():
    color = styles.operation_style(name, drawn).color
    won = name in entered
    row = names.index(name)
    ax.axhline(row, color='#e4e4e4', linewidth=0.7, zorder=0)
    ax.plot(
      score,
      row,
      'o',
      markersize=8 if won else 6,
      color=color,
      markerfacecolor=color if won else 'white',
      markeredgewidth=1.4,
    )
    ax.annotate(
      f'{score:.3f}',
      (score, row),
      (7, 0),
      textcoords='offset points',
      va='center',
      fontsize=7,
      fontweight='bold' if won else 'normal',
    )
  ax.set_title(f'stage {stage["stage"]}, epoch {stage["epoch"]}', fontsize=9)
  ax.margins(x=0.3)
  ax.xaxis.set_major_locator(ticker.MaxNLocator(3))
  ax.spines[['top', 'right']].set_visible(False)
  ax.tick_params(labelsize=8)
