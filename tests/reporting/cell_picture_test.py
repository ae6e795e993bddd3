"""Tests of the pictures of cells: their geometry, and what is drawn."""

import itertools
import random

import pytest
from genotype_cells import BENCH, UNEVEN

from opp_darts_jax.genotypes.genotype import Cell, Edge
from opp_darts_jax.genotypes.graph import CellGraph
from opp_darts_jax.genotypes.published import GENOTYPES
from opp_darts_jax.reporting import cell_layout, cell_picture, styles

DARTS = GENOTYPES['DARTS_V2']['normal']
CHAIN = Cell(
  'chain',
  2,
  tuple(Edge('sep_conv_5x5', n // 2 + 1, n // 2 + 2) for n in range(10)),
  (4, 6),
)
# Every edge of DARTS's graph.
FULL = Cell(
  'full',
  2,
  tuple(Edge('conv_7x1_1x7', *edge) for edge in CellGraph().edges),
  CellGraph().output,
)


def random_cell(seed):
  """Of one to three inputs, its nodes fed by no to three edges."""
  rng = random.Random(seed)
  inputs, nodes = rng.randint(1, 3), rng.randint(1, 6)
  names = ['none', 'max_pool_3x3', 'skip_connect', 'dil_conv_5x5', 'c_7x1_1x7']
  numbers = range(inputs, inputs + nodes)
  edges = [
    Edge(rng.choice(names), rng.randrange(node), node)
    for node in numbers
    for _ in range(rng.randint(0, 3))
  ]
  rng.shuffle(edges)
  output = rng.sample(numbers, rng.randint(1, nodes))
  return Cell('random', inputs, tuple(edges), tuple(output))


CELLS = [DARTS, CHAIN, FULL, BENCH['cell'], UNEVEN['normal'], UNEVEN['reduce']]
CELLS += [random_cell(seed) for seed in range(16)]


def test_depth_is_the_longest_path():
  assert cell_layout.node_depths(DARTS) == [0, 0, 1, 1, 1, 2]
  assert cell_layout.node_depths(CHAIN) == [0, 0, 1, 2, 3, 4, 5]
  assert cell_layout.node_depths(BENCH['cell']) == [0, 1, 2, 3]
  # Node 4 has no edges, and yet does not stand with the inputs.
  assert cell_layout.node_depths(UNEVEN['normal']) == [0, 0, 1, 2, 1, 3]


@pytest.mark.parametrize('cell', CELLS)
def test_nothing_overlaps(cell):
  layout = cell_layout.layout_cell(cell)
  boxes = list(zip(layout.items, layout.centers))
  for (one, (x1, y1)), (two, (x2, y2)) in itertools.combinations(boxes, 2):
    apart_x = abs(x1 - x2) - (one.size[0] + two.size[0]) / 2
    apart_y = abs(y1 - y2) - (one.size[1] + two.size[1]) / 2
    assert max(apart_x, apart_y) > 0.09, (one, two)


@pytest.mark.parametrize('cell', CELLS)
def test_edges_run_from_left_to_right_through_one_label(cell):
  layout = cell_layout.layout_cell(cell)
  assert len(layout.chains) == len(cell.edges) + len(cell.output)
  for index, chain in enumerate(layout.chains):
    xs = [layout.centers[i][0] for i in chain]
    assert xs == sorted(set(xs))
    texts = [layout.items[i].text for i in chain if layout.items[i].text]
    assert texts == [edge.operation for edge in cell.edges[index : index + 1]]
  ends = [(chain[0], chain[-1]) for chain in layout.chains]
  last = cell.inputs + cell.nodes
  assert ends == [(edge.source, edge.node) for edge in cell.edges] + [
    (node, last) for node in cell.output
  ]


def test_spread_keeps_order_and_gaps():
  assert cell_layout.spread([0, 5], [1, 1], [1]) == [0, 5]
  assert cell_layout.spread([0, 0, 9], [1, 1, 1], [1, 1]) == [-0.5, 0.5, 9]
  assert cell_layout.spread([1, 0], [3, 1], [1]) == [0.5, 1.5]


def test_text_fits_its_label():
  edges = Edge('max_pool_3x3', 0, 2), Edge('conv_7x1_1x7', 1, 2)
  fig = cell_picture.plot_cell(Cell('normal', 2, edges, (2,)))
  fig.canvas.draw()
  fitting = [t for t in fig.axes[0].texts if '_pool_' in t.get_text()]
  fitting += [t for t in fig.axes[0].texts if '7x1' in t.get_text()]
  for text in fitting:
    width, height = cell_layout.Item('label', 0, 0, text.get_text()).size
    extent = text.get_window_extent()
    assert extent.width / fig.dpi < width
    assert extent.height / fig.dpi < height
  assert len(fitting) == 2


def texts_of(fig):
  return [text.get_text() for text in fig.axes[0].texts]


def legend_of(fig):
  return [text.get_text() for text in fig.axes[0].get_legend().get_texts()]


@pytest.mark.parametrize('cell', [DARTS, BENCH['cell'], UNEVEN['normal']])
def test_every_node_and_operation_is_named(cell):
  texts = texts_of(cell_picture.plot_cell(cell))
  names = [edge.operation for edge in cell.edges]
  numbers = [str(n) for n in range(cell.nodes)]
  inputs = ['$c_{k-2}$', '$c_{k-1}$'][-cell.inputs :]
  assert sorted(texts) == sorted([*names, *numbers, *inputs, '$c_{k}$'])


def test_legend():
  assert legend_of(cell_picture.plot_cell(DARTS)) == [
    'skip connection',
    'separable convolution',
    'dilated convolution',
  ]
  fig = cell_picture.plot_cell(BENCH['cell'], {'avg_pool_3x3': 'mean'})
  kinds = ['skip connection', 'convolution', 'none', 'mean']
  assert legend_of(fig) == kinds
  assert legend_of(cell_picture.plot_cell(UNEVEN['reduce'])) == []


def test_edges_of_none_are_dotted():
  fig = cell_picture.plot_cell(BENCH['cell'])
  # Without labels and nodes: six operations and one edge to the output.
  arrows = [p for p in fig.axes[0].patches if hasattr(p, 'get_arrowstyle')]
  assert [arrow.get_linestyle() for arrow in arrows].count(':') == 1
  assert len(arrows) == 7
  assert arrows[2].get_linestyle() == ':'
  assert arrows[2].get_linewidth() < arrows[0].get_linewidth()


def test_operations_of_a_kind_share_a_colour():
  style = styles.operation_style
  assert style('sep_conv_3x3') == style('sep_conv_5x5')
  names = ['skip_connect', 'avg_pool_3x3', 'sep_conv_3x3', 'dil_conv_3x3']
  names += ['nor_conv_3x3', 'none', 'noise']
  assert len({style(name).color for name in names}) == 7
  assert style('nor_conv_3x3') == style('conv_7x1_1x7')
  assert style('nor_conv_3x3').kind == 'convolution'
  assert style('noise').kind == 'other'


def test_the_space_decides_the_kinds():
  operations = [
    {'name': 'mix', 'drawn': 'pooling', 'parametric': False},
    {'name': 'sep_conv_3x3', 'drawn': 'attention', 'parametric': True},
  ]
  drawn = styles.drawn_kinds({'name': 'mine', 'operations': operations})
  style = styles.operation_style
  assert style('mix', drawn) == style('max_pool_3x3')
  assert style('sep_conv_3x3', drawn).kind == 'attention'
  assert style('sep_conv_3x3', drawn).color == style('noise').color
  assert style('sep_conv_5x5', drawn).kind == 'separable convolution'
  assert styles.drawn_kinds({}) == {}
