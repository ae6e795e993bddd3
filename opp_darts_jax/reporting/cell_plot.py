"""The picture of a cell, and the colour that an operation has everywhere."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib import axes, figure, lines, patches, path

from opp_darts_jax.reporting import cell_layout


class Style(NamedTuple):
  """The kind of an operation and the colour of that kind."""

  kind: str
  color: str


# Okabe & Ito's palette: told apart with every common kind of colour blindness.
_SKIP = Style('skip connection', '#d55e00')
_POOL = Style('pooling', '#0072b2')
_SEPARABLE = Style('separable convolution', '#009e73')
_DILATED = Style('dilated convolution', '#cc79a7')
_OTHER = Style('other', '#6e6e6e')
_STYLES = (_SKIP, _POOL, _SEPARABLE, _DILATED, _OTHER)
_INK = '#222222'
_CONCAT = '#b4b4b4'
_MARGIN = 0.12
_LEGEND = 0.34


def operation_style(operation: str) -> Style:
  """The kind of an operation, by its name."""
  if 'skip' in operation or operation == 'identity':
    return _SKIP
  if 'pool' in operation:
    return _POOL
  if operation.startswith('sep'):
    return _SEPARABLE
  if operation.startswith('dil'):
    return _DILATED
  return _OTHER


def plot_cell(
  entries: Sequence[tuple[str, int]], concat: Sequence[int]
) -> figure.Figure:
  """Draws a cell as a graph from its two inputs, left, to its output, right.

  Args:
    entries: (operation, source) pairs, two for each intermediate node.
    concat: the nodes whose concatenation is the output.
  """
  layout = cell_layout.layout_cell(entries, concat)
  used = {operation_style(operation) for operation, _ in entries}
  styles = [style for style in _STYLES if style in used]
  # A small cell must not cut the legend, whose width this is about.
  legend = sum(0.08 * len(style.kind) + 0.4 for style in styles)
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
    operation = entries[index][0] if index < len(entries) else ''
    color = operation_style(operation).color if operation else _CONCAT
    _draw_edge(ax, layout, chain, ports[index], color)
  for item, center in zip(layout.items, layout.centers):
    if item.kind == 'node':
      _draw_node(ax, layout, item.number, center)
    elif item.kind == 'label':
      _draw_label(ax, item, center)
  ax.legend(
    [lines.Line2D([], [], color=s.color, linewidth=2) for s in styles],
    [style.kind for style in styles],
    loc='lower center',
    ncols=max(len(styles), 1),
    fontsize=7.5,
    frameon=False,
    handlelength=1.4,
    columnspacing=1.4,
    borderpad=0,
    borderaxespad=0.3,
  )
  return fig


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
  color: str,
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
      color=color,
      linewidth=1.3,
      joinstyle='miter',
      zorder=1 if color == _CONCAT else 2,
    )
  )


def _draw_node(
  ax: axes.Axes,
  layout: cell_layout.Layout,
  number: int,
  center: tuple[float, float],
) -> None:
  output = sum(item.kind == 'node' for item in layout.items) - 1
  names = {0: '$c_{k-2}$', 1: '$c_{k-1}$', output: '$c_{k}$'}
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
  text = names.get(number, str(number - 2))
  ax.text(*center, text, ha='center', va='center', fontsize=9, zorder=4)


def _draw_label(
  ax: axes.Axes, item: cell_layout.Item, center: tuple[float, float]
) -> None:
  width, height = item.size
  ax.add_patch(
    patches.FancyBboxPatch(
      (center[0] - width / 2, center[1] - height / 2),
      width,
      height,
      boxstyle='round,pad=0,rounding_size=0.08',
      facecolor='white',
      edgecolor=operation_style(item.text).color,
      linewidth=1.1,
      zorder=3,
    )
  )
  ax.text(*center, item.text, ha='center', va='center', fontsize=8, zorder=4)
