"""The picture of a cell."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import axes, figure, lines, patches, path

from opp_darts_jax.genotypes.genotype import Cell
from opp_darts_jax.reporting import cell_layout, styles

_INK = '#222222'
_OUTPUT = '#b4b4b4'
_MARGIN = 0.12
_LEGEND = 0.34


def plot_cell(
  cell: Cell, drawn: Mapping[str, str] = styles.BY_NAME
) -> figure.Figure:
  """Draws a cell as a graph from its inputs, left, to its output, right.

  Edges of `none` are dotted: they carry nothing, yet without them the picture
  could not be told from that of a cell that does not have them.

  Args:
    cell: to be drawn.
    drawn: kinds of operations, see `styles.drawn_kinds`.
  """
  layout = cell_layout.layout_cell(cell)
  names = [edge.operation for edge in cell.edges]
  legend_styles = styles.legend_styles(names, drawn)
  # A small cell must not cut the legend, whose width this is about.
  legend = sum(0.08 * len(style.kind) + 0.4 for style in legend_styles)
  width = max(layout.size[0], legend)
  left = (width - layout.size[0]) / 2 + _MARGIN
  top, bottom = _MARGIN, layout.size[1] + _MARGIN + _LEGEND
  fig = figure.Figure(figsize=(width + 2 * _MARGIN, bottom + top))
  ax = fig.add_axes((0, 0, 1, 1))
  ax.set_xlim(-left, width + 2 * _MARGIN - left)
  ax.set_ylim(bottom, -top)
  ax.set_axis_off()
  ports = _ports(layout)
  for index, chain in enumerate(layout.chains):
    line = {'color': _OUTPUT, 'zorder': 1}
    if index < len(names):
      line = _edge_line(styles.operation_style(names[index], drawn))
    _draw_edge(ax, layout, chain, ports[index], line)
  for item, center in zip(layout.items, layout.centers):
    if item.kind == 'node':
      _draw_node(ax, cell, item.number, center)
    elif item.kind == 'label':
      color = styles.operation_style(item.text, drawn).color
      _draw_label(ax, item, center, color)
  ax.legend(
    [
      lines.Line2D([], [], **_edge_line(style) | {'linewidth': 2})
      for style in legend_styles
    ],
    [styles.shown(style.kind) for style in legend_styles],
    loc='lower center',
    ncols=max(len(legend_styles), 1),
    fontsize=7.5,
    frameon=False,
    handlelength=1.4,
    columnspacing=1.4,
    borderpad=0,
    borderaxespad=0.3,
  )
  return fig


def _edge_line(style: styles.Style) -> dict[str, Any]:
  if style.kind == styles.NONE:
    return {'color': style.color, 'linewidth': 0.9, 'linestyle': ':'}
  return {'color': style.color}


def _ports(layout: cell_layout.Layout) -> list[float]:
  """How far below its target's centre each edge ends, so that none share."""
  ports = [0.0] * len(layout.chains)
  for target in {chain[-1] for chain in layout.chains}:
    arriving = [i for i, c in enumerate(layout.chains) if c[-1] == target]
    arriving.sort(key=lambda i: layout.centers[layout.chains[i][-2]][1])
    step = min(0.2, 0.36 / len(arriving))
    for row, index in enumerate(arriving):
      ports[index] = step * (row - (len(arriving) - 1) / 2)
  return ports


def _draw_edge(
  ax: axes.Axes,
  layout: cell_layout.Layout,
  chain: Sequence[int],
  port: float,
  line: Mapping[str, Any],
) -> None:
  """A smooth line through the chain: level in layers, curved between them."""
  radius = cell_layout.NODE_SIZE / 2
  x, y = layout.centers[chain[0]]
  x += radius
  points, codes = [(x, y)], [path.Path.MOVETO]
  for index in chain[1:]:
    left, right = layout.spans[layout.items[index].layer]
    next_y = layout.centers[index][1]
    if index == chain[-1]:
      next_y += port
      left = sum(layout.spans[layout.items[index].layer]) / 2
      left -= (radius**2 - port**2) ** 0.5
    middle = (x + left) / 2
    points += [(middle, y), (middle, next_y), (left, next_y)]
    codes += [path.Path.CURVE4] * 3
    if index != chain[-1]:
      points.append((right, next_y))
      codes.append(path.Path.LINETO)
    x, y = right, next_y
  ax.add_patch(
    patches.FancyArrowPatch(
      path=path.Path(points, codes),
      arrowstyle='-|>,head_length=0.45,head_width=0.22',
      mutation_scale=10,
      joinstyle='miter',
      **{'linewidth': 1.3, 'zorder': 2, **line},
    )
  )


def _draw_node(
  ax: axes.Axes,
  cell: Cell,
  number: int,
  center: tuple[float, float],
) -> None:
  names = {n: f'$c_{{k-{cell.inputs - n}}}$' for n in range(cell.inputs)}
  names[cell.inputs + cell.nodes] = '$c_{k}$'
  is_inner = number not in names
  ax.add_patch(
    patches.Circle(
      center,
      cell_layout.NODE_SIZE / 2,
      facecolor='#eef1f5' if is_inner else '#fff3d6',
      edgecolor=_INK,
      linewidth=0.9,
      zorder=3,
    )
  )
  text = names.get(number, str(number - cell.inputs))
  ax.text(*center, text, ha='center', va='center', fontsize=9, zorder=4)


def _draw_label(
  ax: axes.Axes,
  item: cell_layout.Item,
  center: tuple[float, float],
  color: str,
) -> None:
  width, height = item.size
  ax.add_patch(
    patches.FancyBboxPatch(
      (center[0] - width / 2, center[1] - height / 2),
      width,
      height,
      boxstyle='round,pad=0,rounding_size=0.08',
      facecolor='white',
      edgecolor=color,
      linewidth=1.1,
      zorder=3,
    )
  )
  text = styles.shown(item.text)
  ax.text(*center, text, ha='center', va='center', fontsize=8, zorder=4)
