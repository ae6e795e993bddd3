"""Curves over the epochs of a run."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import axes, figure, lines, ticker

from opp_darts_jax.reporting import cell_plot

Record = Mapping[str, Any]

_SPLITS = {  # a line of the file -> colour; of the operations' palette, none
  'train': '#4477aa',
  'val': '#ccbb44',
  'eval': '#ee6677',
  'test': '#ee6677',
}
_CELLS = {'normal': '#332288', 'reduce': '#882255'}
_DASHES = ('solid', (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))


def steps_per_epoch(records: Sequence[Record]) -> float | None:
  """Derived from the last finished epoch; None before there is one."""
  ends = [r for r in records if r['kind'] == 'epoch' and r.get('step')]
  return ends[-1]['step'] / (ends[-1]['epoch'] + 1) if ends else None


def operation_weights(
  alphas: Sequence[Sequence[float | None]],
) -> list[float]:
  """The mean weight of each operation over the edges that have it.

  Args:
    alphas: raw alphas, (edges, operations); None where inactive.

  Returns:
    (operations,) means of each edge's softmax over its active operations; nan
    for an operation that is active nowhere.
  """
  alphas_EK = np.array(alphas, dtype=float)  # None becomes nan
  active_EK = ~np.isnan(alphas_EK)
  logits_EK = np.where(active_EK, alphas_EK, -np.inf)
  top_E1 = np.max(logits_EK, axis=1, keepdims=True, initial=-1e30)
  exp_EK = np.exp(logits_EK - top_E1)
  sum_E1 = exp_EK.sum(axis=1, keepdims=True)
  weights_EK = exp_EK / np.where(sum_E1 > 0, sum_E1, 1.0)
  edges_K = active_EK.sum(axis=0)
  means_K = weights_EK.sum(axis=0) / np.maximum(edges_K, 1)
  return np.where(edges_K > 0, means_K, np.nan).tolist()


def skip_share(entries: Sequence[tuple[str, int]]) -> float:
  """The fraction of a derived cell's edges that are skip connections."""
  skips = sum(operation == 'skip_connect' for operation, _ in entries)
  return skips / len(entries) if entries else 0.0


def plot_search(
  records: Sequence[Record], alphas: Sequence[Record]
) -> figure.Figure:
  """Losses, accuracies, operation weights and skips of a search."""
  position, unit = _time_axis(records)
  fig = figure.Figure(figsize=(9.6, 7.6), layout='constrained')
  grid = fig.subplots(3, 2, sharex=True)
  _plot_metric(grid[0, 0], records, position, 'loss')
  _plot_metric(grid[0, 1], records, position, 'accuracy')
  names = list(dict.fromkeys(n for line in alphas for n in line['operations']))
  for ax, cell in zip(grid[1], _CELLS):
    _plot_weights(ax, alphas, position, cell, names)
    ax.set_ylabel(f'mean weight, {cell} cell')
  _plot_skips(grid[2, 0], records, position)
  stages = [r for r in records if r['kind'] == 'stage']
  panels = list(grid.flat[:-1])
  for ax in panels:
    for stage in stages:
      ax.axvline(
        position(stage),
        color='#999999',
        linewidth=0.7,
        linestyle='--',
        zorder=0,
      )
    ax.tick_params(labelbottom=ax is grid[1, 1] or ax is grid[2, 0])
  for ax in grid[0]:
    _name_stages(ax, stages, position)
  grid[1, 1].set_xlabel(unit)
  grid[2, 0].set_xlabel(unit)
  grid[2, 1].set_axis_off()
  if names:
    grid[2, 1].legend(
      [lines.Line2D([], [], **_operation_line(n, names)) for n in names],
      names,
      title='operation',
      loc='center',
      frameon=False,
      handlelength=3,
    )
  return fig


def plot_training(records: Sequence[Record]) -> figure.Figure:
  """Loss, accuracy and learning rate of a training run."""
  position, unit = _time_axis(records)
  fig = figure.Figure(figsize=(11, 3.2), layout='constrained')
  loss, accuracy, rate = fig.subplots(1, 3, sharex=True)
  _plot_metric(loss, records, position, 'loss')
  _plot_metric(accuracy, records, position, 'accuracy')
  train = [r for r in records if r.get('learning_rate') is not None]
  rate.plot(
    [position(r) for r in train],
    [r['learning_rate'] for r in train],
    color=_SPLITS['train'],
  )
  _tidy(rate, 'learning rate')
  for ax in (loss, accuracy, rate):
    ax.set_xlabel(unit)
  return fig


def _time_axis(
  records: Sequence[Record],
) -> tuple[Callable[[Record], float], str]:
  """Where a record stands on the time axis, and the unit of that axis."""
  per_epoch = steps_per_epoch(records)
  unit = 'epoch' if per_epoch else 'step'

  def position(record: Record) -> float:
    return (record.get('step') or 0) / (per_epoch or 1.0)

  return position, unit


def _plot_metric(
  ax: axes.Axes,
  records: Sequence[Record],
  position: Callable[[Record], float],
  metric: str,
) -> None:
  """A line per split: of its measurements within epochs if there are any."""
  for split, color in _SPLITS.items():
    key = f'{split}_{metric}'
    points = [r for r in records if r.get(key) is not None]
    inside = [r for r in points if r['kind'] == 'train']
    points = inside or [r for r in points if r['kind'] == 'epoch']
    if points:
      whole = not inside
      ax.plot(
        [position(r) for r in points],
        [r[key] for r in points],
        color=color,
        label=split,
        linewidth=1.8 if whole else 1.0,
        marker='o' if whole else None,
        markersize=3,
      )
  _tidy(ax, metric)
  if metric == 'accuracy':
    ax.yaxis.set_major_formatter(ticker.PercentFormatter(1.0))
  if ax.lines:
    ax.legend(frameon=False, fontsize=8)


def _operation_line(name: str, names: Sequence[str]) -> dict[str, Any]:
  """The colour of the operation's kind; dashes tell those of a kind apart."""
  style = cell_plot.operation_style(name)
  alike = [n for n in names if cell_plot.operation_style(n) == style]
  dashes = _DASHES[alike.index(name) % len(_DASHES)]
  return {'color': style.color, 'linestyle': dashes, 'linewidth': 1.6}


def _plot_weights(
  ax: axes.Axes,
  alphas: Sequence[Record],
  position: Callable[[Record], float],
  cell: str,
  names: Sequence[str],
) -> None:
  weights = [
    dict(zip(r['operations'], operation_weights(r[cell]))) for r in alphas
  ]
  for name in names:
    ax.plot(
      [position(r) for r in alphas],
      [weight.get(name, math.nan) for weight in weights],
      marker='.' if len(alphas) == 1 else None,
      **_operation_line(name, names),
    )
  _tidy(ax, '')
  ax.set_ylim(bottom=0)


def _plot_skips(
  ax: axes.Axes,
  records: Sequence[Record],
  position: Callable[[Record], float],
) -> None:
  epochs = [r for r in records if r['kind'] == 'epoch' and r.get('genotype')]
  edges = max((len(r['genotype']['normal']) for r in epochs), default=8)
  for cell, color in _CELLS.items():
    ax.plot(
      [position(r) for r in epochs],
      [edges * skip_share(r['genotype'][cell]) for r in epochs],
      color=color,
      label=cell,
      drawstyle='steps-post',
      marker='o',
      markersize=3,
      linestyle='solid' if cell == 'normal' else '--',
    )
  _tidy(ax, f'skip connections (of {edges})')
  ax.set_ylim(-0.04 * edges, 1.04 * edges)
  ax.yaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
  share = ax.secondary_yaxis('right')
  share.yaxis.set_major_formatter(ticker.PercentFormatter(edges, decimals=0))
  share.tick_params(labelsize=8)
  ax.legend(frameon=False, fontsize=8)


def _name_stages(
  ax: axes.Axes,
  stages: Sequence[Record],
  position: Callable[[Record], float],
) -> None:
  """Says above the panel what entered; stages at one time share a line."""
  entered: dict[float, list[str]] = {}
  for stage in stages:
    entered.setdefault(position(stage), []).extend(stage.get('entered') or [])
  for x, names in entered.items():
    ax.annotate(
      ', '.join(names),
      (x, 1),
      (1, 3),
      xycoords=ax.get_xaxis_transform(),
      textcoords='offset points',
      rotation=45,
      rotation_mode='anchor',
      fontsize=7,
      color='#555555',
    )


def _tidy(ax: axes.Axes, label: str) -> None:
  ax.set_ylabel(label)
  ax.spines[['top', 'right']].set_visible(False)
  ax.grid(axis='y', color='#eeeeee')
  ax.set_axisbelow(True)
  ax.xaxis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 5, 10]))
  ax.tick_params(labelsize=8)
