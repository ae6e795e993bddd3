"""The table of NAS-Bench-201: known figures, and how they are found."""

import subprocess
import sys

import numpy as np
import pytest

from opp_darts_jax.benchmarks import nasbench201
from opp_darts_jax.benchmarks.nasbench201 import optimum, query
from opp_darts_jax.errors import UserError
from opp_darts_jax.genotypes.genotype import Cell, Genotype
from opp_darts_jax.genotypes.published import GENOTYPES
from opp_darts_jax.networks import summary
from opp_darts_jax.networks.network import Network
from opp_darts_jax.spaces.nasbench201 import NASBENCH201 as SPACE

SHORT = {
  'none': 'none',
  'skip': 'skip_connect',
  '1x1': 'nor_conv_1x1',
  '3x3': 'nor_conv_3x3',
}


def text(words):
  a, b, c, d, e, f = (SHORT[word] for word in words.split())
  return f'|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|'


def percent(accuracies):
  return [round(100 * accuracies[data], 2) for data in nasbench201.DATA]


@pytest.mark.parametrize(
  ('words', 'index', 'validation', 'test', 'millions'),
  [
    ('skip skip skip skip skip skip', 1835,
     [39.77, 15.03, 16.43], [54.30, 15.61, 16.32], 0.073),
    ('3x3 3x3 3x3 skip 3x3 1x1', 6111,
     [91.61, 72.75, 45.56], [94.37, 73.22, 46.71], 1.073),
    ('3x3 3x3 3x3 skip 3x3 3x3', 9930,
     [91.55, 73.49, 46.37], [94.36, 73.51, 46.34], 1.289),
    ('1x1 1x1 3x3 skip 3x3 3x3', 857,
     [91.07, 72.51, 46.38], [93.99, 72.88, 47.31], 0.858),
    ('3x3 none 3x3 skip none skip', 11472,
     [90.86, 70.50, 44.10], [93.91, 70.89, 44.23], 0.559),
    ('3x3 3x3 3x3 3x3 3x3 3x3', 1462,
     [90.20, 70.71, 40.78], [93.76, 71.11, 41.44], 1.532),
    ('none none none none none none', 1651,
     [9.71, 1.00, 0.83], [10.00, 1.00, 0.83], 0.073),
  ],
)  # fmt: skip
def test_known_cells(words, index, validation, test, millions):
  found = query(text(words))
  assert found.index == index
  assert percent(found.validation) == validation
  assert percent(found.test) == test
  assert round(found.weights / 1e6, 3) == millions
  # By any of its names it is the same.
  assert query(SPACE.from_text(found.text)) == found == query(index)
  assert found.text == text(words)


def test_ranks_go_by_the_test_accuracy_on_cifar10():
  assert query(text('skip ' * 6)).rank == 15231
  assert query(6111).rank == 1
  assert query(9930).rank == 3  # Two are at 94.37.
  assert query(9930, epochs=12).rank > 3
  found = [query(index) for index in range(0, nasbench201.CELLS, 625)]
  by_rank = sorted(found, key=lambda truth: truth.rank)
  accuracies = [truth.test['cifar10'] for truth in by_rank]
  assert accuracies == sorted(accuracies, reverse=True)


def test_the_best_of_each_data_set():
  assert [optimum(data).index for data in nasbench201.DATA] == [6111, 9930, 857]
  with pytest.raises(UserError, match='valid are: cifar10, cifar100, imagenet'):
    optimum('svhn')


def test_the_whole_table():
  table = nasbench201._table()
  test = table.column('test', 'cifar10', 200) / 100
  assert (test > 94).sum() == 42
  assert round(test.mean(), 2) == 87.06
  assert round(float(np.median(test)), 2) == 90.74
  assert set(table.seeds) == {2, 3}
  # Every cell is there once.
  assert sorted(table.row_of) == list(range(nasbench201.CELLS))
  some = [query(index) for index in range(0, nasbench201.CELLS, 125)]
  assert [query(truth.text) for truth in some] == some
  want = test[::125] / 100
  assert [truth.test['cifar10'] for truth in some] == pytest.approx(want)


def test_twelve_epochs_are_other_figures():
  # Of the cell with index 0 in the benchmark's file.
  short = query(0, epochs=12)
  assert percent(short.test) == [69.55, 31.26, 17.00]
  assert percent(short.validation) == [63.36, 31.84, 18.47]
  assert percent(query(0).test) == [85.86, 52.91, 26.63]
  with pytest.raises(UserError, match='epochs 90; valid are: 200, 12'):
    query(0, epochs=90)


@pytest.mark.parametrize('index', [1835, 6111, 11472, 0])
def test_sizes_are_those_of_the_networks(index):
  found = query(index)
  genotype = SPACE.from_text(found.text)
  network = Network(genotype, 15, 16, 10, auxiliary=False, space=SPACE)
  parts = summary.describe(network, (32, 32, 3))
  totals = summary.totals(parts)
  assert totals.weights == found.weights
  # The authors count the biases of the last layer, too.
  assert totals.multiply_adds + 10 == found.multiply_adds


def test_truth_of_the_space():
  best, skips = (
    SPACE.truth(SPACE.from_text(query(index).text)) for index in (6111, 1835)
  )
  assert best['regret_cifar10'] == 0
  assert best['regret_imagenet16'] == 0.006
  assert skips['regret_cifar10'] == 0.4007
  assert skips['test_cifar10'] == 0.543
  assert skips['validation_cifar100'] == 0.1503
  assert skips['rank'] == 15231


@pytest.mark.parametrize(
  ('cell', 'sentence'),
  [
    ('resnet', r'NAS-Bench-201 as \|OP~0\|.*an index, got .resnet.'),
    ('|conv~0|', 'reading stopped after 0 edges'),
    (GENOTYPES['DARTS_V2'], 'one kind of cell, got one with normal, reduce'),
    (15625, 'from 0 to 15624, got 15625'),
    (None, "or an index, got 'None'"),
  ],
)
def test_what_is_no_cell_of_it_is_refused(cell, sentence):
  with pytest.raises(UserError, match=sentence):
    query(cell)


def test_a_cell_that_lacks_an_edge_is_refused():
  cell = SPACE.from_text(query(0).text)['cell']
  lacking = Genotype((Cell('cell', 1, cell.edges[1:], (3,)),))
  with pytest.raises(UserError, match='Expected a cell with the edges'):
    query(lacking)


def test_the_table_is_found_without_jax():
  program = (
    'import sys, opp_darts_jax as o\n'
    'print(o.benchmarks.nasbench201.query(6111).test["cifar10"])\n'
    'print("jax" in sys.modules)'
  )
  done = subprocess.run(
    [sys.executable, '-c', program], capture_output=True, text=True, check=True
  )
  assert done.stdout.split() == ['0.9437', 'False']


def test_nobody_can_change_the_table():
  with pytest.raises(ValueError, match='read-only'):
    nasbench201._table().cells[0] = 0
