"""Curves over the epochs of a run."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib import axes, figure, lines, ticker

from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.reporting import alpha_tables, styles

Record = Mapping[str, Any]

_SPLITS = {  # a line of the file -> colour; of the operations' palette, none
  'train': '#4477aa',
  'val': '#ccbb44',
  'eval': '#ee6677',
  'test': '#ee6677',
}
# Of the kinds of cells, in turn.
_CELLS = ('#332288', '#882255', '#117733', '#88ccee', '#999933')
_DASHES = ('solid', (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))


def steps_per_epoch(records: Sequence[Record]) -> float | None:
  """Derived from the last finished epoch; None before there is one."""
  ends = [r for r in records if r['kind'] == 'epoch' and r.get('step')]
  return ends[-1]['step'] / (ends[-1]['epoch'] + 1) if ends else None


def plot_search(
  records: Sequence[Record],
  alphas: Sequence[Record],
  drawn: Mapping[str, str] = styles.BY_NAME,
) -> figure.Figure:
  """Losses, accuracies, operation weights and skips of a search.

  Args:
    records: its lines.
    alphas: the lines of its alphas.
    drawn: kinds of operations, see `styles.drawn_kinds`.
  """
  position, unit = time_axis(records)
  cells = alpha_tables.cell_kinds(alphas)
  derived = [r for r in records if r['kind'] == 'epoch' and r.get('genotype')]
  count = 2 + len(cells) + bool(derived)
  rows = math.ceil(count / 2)
  fig = figure.Figure(figsize=(9.6, 2.55 * rows), layout='constrained')
  grid = fig.subplots(rows, 2, sharex=True, squeeze=False)
  panels = list(grid.flat[:count])
  _plot_metric(panels[0], records, position, 'loss')
  _plot_metric(panels[1], records, position, 'accuracy')
  names = list(dict.fromkeys(n for line in alphas for n in line['operations']))
  handles = {name: _operation_line(name, names, drawn) for name in names}
  for ax, cell in zip(panels[2:], cells):
    lines_of_cell = [
      line for line in alphas if alpha_tables.has_table(line, cell)
    ]
    _plot_weights(ax, lines_of_cell, position, cell, handles)
  if derived:
    _plot_skips(panels[-1], derived, position)
  found = [r for r in records if r['kind'] == 'stage']
  for index, ax in enumerate(panels):
    _mark_stages(ax, found, position)
    is_lowest = index + 2 >= count
    ax.tick_params(labelbottom=is_lowest)
    ax.set_xlabel(unit if is_lowest else '')
  for ax in panels[:2]:
    _name_stages(ax, found, position)
  _add_legend(fig, list(grid.flat[count:]), handles)
  return fig


def plot_training(records: Sequence[Record]) -> figure.Figure:
  """Loss, accuracy and learning rate of a training run."""
  position, unit = time_axis(records)
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
  tidy(rate, 'learning rate')
  for ax in (loss, accuracy, rate):
    ax.set_xlabel(unit)
  return fig


def time_axis(
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
  tidy(ax, metric)
  if metric == 'accuracy':
    ax.yaxis.set_major_formatter(ticker.PercentFormatter(1.0))
  if ax.lines:
    ax.legend(frameon=False, fontsize=8)


def _operation_line(
  name: str, names: Sequence[str], drawn: Mapping[str, str]
) -> dict[str, Any]:
  """The colour of the operation's kind; dashes tell those of a colour apart."""
  color = styles.operation_style(name, drawn).color
  alike = [n for n in names if styles.operation_style(n, drawn).color == color]
  dashes = _DASHES[alike.index(name) % len(_DASHES)]
  return {'color': color, 'linestyle': dashes, 'linewidth': 1.6}


def _add_legend(
  fig: figure.Figure,
  free: Sequence[axes.Axes],
  handles: Mapping[str, Mapping[str, Any]],
) -> None:
  """Of the operations: in the panel left free, or below all without one."""
  for ax in free:
    ax.set_axis_off()
  if not handles:
    return
  where: dict[str, Any] = {'loc': 'center'}
  if not free:
    where = {'loc': 'outside lower center', 'ncols': min(len(handles), 5)}
  (free[0] if free else fig).legend(
    [lines.Line2D([], [], **line) for line in handles.values()],
    list(map(styles.shown, handles)),
    title='operation',
    frameon=False,
    handlelength=3,
    **where,
  )


def _plot_weights(
  ax: axes.Axes,
  alphas: Sequence[Record],
  position: Callable[[Record], float],
  cell: str,
  handles: Mapping[str, Mapping[str, Any]],
) -> None:
  """A line per operation: its mean weight in one kind of cell."""
  found = [line for line in alphas if alpha_tables.has_table(line, cell)]
  weights = [
    dict(zip(line['operations'], alpha_tables.operation_weights(line[cell])))
    for line in found
  ]
  for name, style in handles.items():
    ax.plot(
      [position(line) for line in found],
      [weight.get(name, math.nan) for weight in weights],
      marker='.' if len(found) == 1 else None,
      **style,
    )
  of = '' if cell == 'cell' else f', {styles.shown(cell)} cell'
  tidy(ax, f'mean weight{of}')
  ax.set_ylim(bottom=0)


def _plot_skips(
  ax: axes.Axes,
  derived: Sequence[Record],
  position: Callable[[Record], float],
) -> None:
  """A line per kind of cell: the skip connections of the derived one."""
  genotypes = [Genotype.from_dict(r['genotype']) for r in derived]
  sizes = {len(cell.edges) for g in genotypes for cell in g.cells}
  for index, kind in enumerate(genotypes[-1].kinds):
    ax.plot(
      [position(r) for r in derived],
      [g.num_skips(kind) for g in genotypes],
      color=_CELLS[index % len(_CELLS)],
      label=styles.shown(kind),
      drawstyle='steps-post',
      marker='o',
      markersize=3,
      linestyle='--' if index else 'solid',
    )
  most = max(sizes) or 1
  # Shares make sense where all cells have as many edges.
  alike = len(sizes) == 1
  tidy(ax, f'skip connections (of {most})' if alike else 'skip connections')
  ax.set_ylim(-0.04 * most, 1.04 * most)
  ax.yaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
  if alike:
    share = ax.secondary_yaxis('right')
    share.yaxis.set_major_formatter(ticker.PercentFormatter(most, decimals=0))
    share.tick_params(labelsize=8)
  if len(genotypes[-1].kinds) > 1:
    ax.legend(frameon=False, fontsize=8)


def _mark_stages(
  ax: axes.Axes,
  stages: Sequence[Record],
  position: Callable[[Record], float],
) -> None:
  for stage in stages:
    ax.axvline(
      position(stage),
      color='#999999',
      linewidth=0.7,
      linestyle='--',
      zorder=0,
    )


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
      styles.shown(', '.join(names)),
      (x, 1),
      (1, 3),
      xycoords=ax.get_xaxis_transform(),
      textcoords='offset points',
      rotation=45,
      rotation_mode='anchor',
      fontsize=7,
      color='#555555',
    )


def tidy(ax: axes.Axes, label: str) -> None:
  """Names what a panel is of, and leaves out what is not needed."""
  ax.set_ylabel(label)
  ax.spines[['top', 'right']].set_visible(False)
  ax.grid(axis='y', color='#eeeeee')
  ax.set_axisbelow(True)
  ax.xaxis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 5, 10]))
  ax.tick_params(labelsize=8)
