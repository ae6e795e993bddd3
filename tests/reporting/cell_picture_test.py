"""Tests of the pictures of cells: their geometry, and what is drawn."""

import itertools
import random
import re

import numpy as np
import pytest
from genotype_cells import BENCH, UNEVEN

from opp_darts_jax.genotypes.genotype import Cell, Edge
from opp_darts_jax.genotypes.graph import CellGraph
from opp_darts_jax.genotypes.published import GENOTYPES
from opp_darts_jax.reporting import (
  cell_items,
  cell_layout,
  cell_picture,
  page,
  styles,
)

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
  assert cell_items.node_depths(DARTS) == [0, 0, 1, 1, 1, 2]
  assert cell_items.node_depths(CHAIN) == [0, 0, 1, 2, 3, 4, 5]
  assert cell_items.node_depths(BENCH['cell']) == [0, 1, 2, 3]
  # Node 4 has no edges, and yet does not stand with the inputs.
  assert cell_items.node_depths(UNEVEN['normal']) == [0, 0, 1, 2, 1, 3]


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


def picture_of(cell, space=None, new=()):
  names = [edge.operation for edge in cell.edges]
  return cell_picture.picture(cell, styles.Styles(space or {}, names), new)


@pytest.mark.parametrize('cell', [DARTS, BENCH['cell'], UNEVEN['normal']])
def test_every_node_and_operation_is_named(cell):
  drawn = picture_of(cell)
  names = [edge.operation for edge in cell.edges]
  assert sorted(box.style.name for box in drawn.boxes) == sorted(names)
  inputs = [('c', f'k−{cell.inputs - n}') for n in range(cell.inputs)]
  inner = [(str(n), '') for n in range(cell.nodes)]
  texts = [(node.text, node.below) for node in drawn.nodes]
  assert texts == [*inputs, *inner, ('c', 'k')]
  assert [n.inner for n in drawn.nodes].count(True) == cell.nodes


def test_a_label_stands_on_its_own_edge():
  """Two edges into one node, of other operations: none takes the other's."""
  drawn = picture_of(DARTS)
  layout = cell_layout.layout_cell(DARTS)
  for edge, chain in zip(DARTS.edges, layout.chains):
    (label,) = [i for i in chain if layout.items[i].kind == 'label']
    assert layout.items[label].text == edge.operation
  styled = [arrow.style.name for arrow in drawn.arrows if arrow.style]
  assert styled == [edge.operation for edge in DARTS.edges]
  assert [arrow.style for arrow in drawn.arrows].count(None) == 4


def test_edges_with_parameters_and_without_differ_in_more_than_colour():
  drawn = picture_of(BENCH['cell'])
  told = {b.style.name: b.style.parametric for b in drawn.boxes}
  assert told == {
    'nor_conv_3x3': True,
    'skip_connect': False,
    'none': False,
    'avg_pool_3x3': False,
  }
  for box in drawn.boxes:
    assert (box.style.dash == '') == box.style.parametric


def test_what_has_changed_is_marked():
  other = Cell(
    DARTS.kind,
    DARTS.inputs,
    (Edge('max_pool_3x3', 0, 2), *DARTS.edges[1:]),
    DARTS.output,
  )
  assert cell_picture.changed(other, DARTS) == [0]
  assert cell_picture.changed(other, other) == []
  assert cell_picture.changed(other, None) == []
  # An edge that is there twice is new where there was one.
  once = Cell('a', 1, (Edge('none', 0, 1),), (1,))
  twice = Cell('a', 1, (Edge('none', 0, 1),) * 2, (1,))
  assert cell_picture.changed(twice, once) == [1]
  drawn = picture_of(other, new=[0])
  assert [box.style.name for box in drawn.boxes if box.new] == ['max_pool_3x3']


def test_a_cell_in_words():
  assert picture_of(BENCH['cell']).said == [
    'node 0 = nor_conv_3x3 of c[k−1]',
    'node 1 = skip_connect of c[k−1] + none of node 0',
    'node 2 = skip_connect of c[k−1] + avg_pool_3x3 of node 0 + nor_conv_3x3 '
    'of node 1',
    'output = node 2',
  ]
  assert 'node 2 = nothing' in picture_of(UNEVEN['normal']).said


def test_legend():
  drawn = styles.Styles({}, ['skip_connect'])
  names = ['skip_connect', 'none', 'dil_conv_3x3', 'sep_conv_3x3', 'mine']
  kinds = [style.kind for style in styles.legend(drawn.of(names))]
  assert kinds == [
    'separable convolution',
    'dilated convolution',
    'skip connection',
    'none',
    'other',
  ]


def test_operations_of_a_kind_share_a_colour_and_differ_in_their_line():
  names = ['sep_conv_3x3', 'sep_conv_5x5', 'sep_conv_7x7', 'max_pool_3x3',
           'avg_pool_3x3', 'skip_connect', 'none', 'dil_conv_3x3',
           'nor_conv_3x3', 'noise']  # fmt: skip
  drawn = styles.Styles({}, names).of(names)
  assert len({style.css for style in drawn[:3]}) == 1
  assert len({(s.css, s.dash, s.wide) for s in drawn}) == len(names)
  # In grey too: lines of operations without parameters are all broken.
  assert len({style.dash for style in drawn if not style.parametric}) == 5
  assert len({style.css for style in drawn}) == 7
  assert drawn[-1].kind == 'other'


def test_the_space_decides_the_kinds():
  operations = [
    {'name': 'mix', 'drawn': 'pooling', 'parametric': True},
    {'name': 'sep_conv_3x3', 'drawn': 'attention', 'parametric': True},
  ]
  drawn = styles.Styles({'name': 'mine', 'operations': operations})
  assert drawn['mix'].css == drawn['max_pool_3x3'].css
  assert drawn['mix'].parametric
  assert not drawn['mix'].dash
  assert drawn['sep_conv_3x3'].kind == 'attention'
  assert drawn['sep_conv_3x3'].css == drawn['noise'].css == 'other'
  assert drawn['sep_conv_5x5'].kind == 'separable convolution'


# What eyes without one kind of cones see, of linear RGB (Machado, Oliveira &
# Fernandes, 2009), and from that to XYZ, of white 1.
SEEN = {
  'all': np.eye(3),
  'protan': [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
             [-0.003882, -0.048116, 1.051998]],
  'deutan': [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
             [-0.011820, 0.042940, 0.968881]],
  'tritan': [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
             [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
XYZ = np.array([[0.4339, 0.3762, 0.1899], [0.2126, 0.7152, 0.0722],
                [0.0177, 0.1095, 0.8728]])  # fmt: skip


def lab(color, seen):
  """A colour '#rrggbb' in CIELAB."""
  srgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
  linear = np.where(
    srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4
  )
  x, y, z = np.cbrt(XYZ @ np.clip(np.array(seen) @ linear, 0, 1))
  return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize('kind', SEEN)
def test_colours_of_kinds_differ_for_all_eyes(kind):
  """By more than 15 in CIELAB, where 2 can be seen side by side."""
  sheet = page.render('page.css.j2')
  for name in styles.KINDS.values():
    assert len(re.findall(rf'--{name}: (#\w{{6}});', sheet)) == 2
  for scheme in (0, 1):
    seen = [
      lab(re.findall(rf'--{name}: (#\w{{6}});', sheet)[scheme], SEEN[kind])
      for name in styles.KINDS.values()
    ]
    for one, two in itertools.combinations(seen, 2):
      assert np.linalg.norm(one - two) > 15
