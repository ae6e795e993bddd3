"""NAS-Bench-201: what every cell of the space is worth, by look-up.

All 15,625 cells were trained, with up to 3 seeds each (Dong and Yang, ICLR
2020; the figures are those of NATS-Bench, Dong et al., TPAMI 2021, whose
licence stands beside the table). Accuracies are means over the seeds, as
fractions.

Two texts may be of one network, such as one that ends in `none`: they were
trained apart, and have figures of their own.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from opp_darts_jax.errors import UserError, check_choice
from opp_darts_jax.genotypes import nasbench201_form
from opp_darts_jax.genotypes.genotype import Cell, Edge, Genotype
from opp_darts_jax.genotypes.nasbench201_form import GRAPH, KIND

CELLS = 15625
DATA = ('cifar10', 'cifar100', 'imagenet16')
EPOCHS = (200, 12)

_FILE = pathlib.Path(__file__).with_name('nasbench201.npz')
# What a search calls validation is of the networks that were trained on one
# half of CIFAR-10 alone ('cifar10-valid'), what it calls test of others.
_COLUMNS = {
  'validation': {'cifar10': 'c10v_valid', 'cifar100': 'c100_valid',
                 'imagenet16': 'in16_valid'},
  'test': {'cifar10': 'c10_test', 'cifar100': 'c100_test',
           'imagenet16': 'in16_test'},
}  # fmt: skip

# A network of the benchmark for 10 classes: 15 cells of 16, 32 and 64 channels
# on 32 x 32, 16 x 16 and 8 x 8 pixels. What is around the cells, and what a
# convolution adds on an edge, with its norm and by its squared kernel size.
_AROUND_WEIGHTS = 73_306
_AROUND_MULTIPLY_ADDS = 7_783_050
_NORM_WEIGHTS = 5 * 2 * (16 + 32 + 64)
_CONV_WEIGHTS = 5 * (16**2 + 32**2 + 64**2)
_CONV_MULTIPLY_ADDS = 5 * 3 * (16 * 32) ** 2
_TAPS = {'nor_conv_1x1': 1, 'nor_conv_3x3': 9}


@dataclasses.dataclass(frozen=True)
class Truth:
  """What is known of a cell.

  Attributes:
    index: of the cell in the benchmark.
    text: of the cell, as the benchmark writes it.
    validation: accuracy by data set (`DATA`). That of cifar10 is of networks
      trained on 25,000 of its training images and tested on the others; do not
      hold it against `test`, whose networks were trained on all 50,000.
    test: accuracy by data set; imagenet16 is ImageNet16-120.
    weights: of the network for 10 classes.
    multiply_adds: of it, on a 32 x 32 image, as the authors count.
    rank: of 15,625 by the test accuracy on CIFAR-10 after as many epochs; 1 is
      the best, and cells of one accuracy have one rank.
    seeds: with which it was trained.
  """

  index: int
  text: str
  validation: Mapping[str, float]
  test: Mapping[str, float]
  weights: int
  multiply_adds: int
  rank: int
  seeds: int


def query(cell: str | Genotype | int, epochs: int = 200) -> Truth:
  """What the benchmark knows of a cell.

  Args:
    cell: its text, `|OP~0|+|OP~0|OP~1|+|OP~0|OP~1|OP~2|`, its genotype, or its
      index in the benchmark.
    epochs: that its networks were trained for: 200, or 12.

  Raises:
    UserError: if there is no such cell or no such number of epochs.
  """
  check_choice('number of epochs', epochs, EPOCHS)
  table = _table()
  index = _index(cell, table)
  names = [table.operations[number] for number in table.cells[index]]
  taps = sum(_TAPS.get(name, 0) for name in names)
  convs = sum(name in _TAPS for name in names)
  edges = tuple(Edge(name, *edge) for name, edge in zip(names, GRAPH.edges))
  genotype = Genotype((Cell(KIND, GRAPH.inputs, edges, GRAPH.output),))

  def accuracies(split: str) -> dict[str, float]:
    return {
      data: float(table.column(split, data, epochs)[index]) / 1e4
      for data in DATA
    }

  test = table.column('test', 'cifar10', epochs)
  return Truth(
    index,
    nasbench201_form.to_text(genotype),
    accuracies('validation'),
    accuracies('test'),
    _AROUND_WEIGHTS + taps * _CONV_WEIGHTS + convs * _NORM_WEIGHTS,
    _AROUND_MULTIPLY_ADDS + taps * _CONV_MULTIPLY_ADDS,
    1 + int((test > test[index]).sum()),
    int(table.seeds[index]),
  )


def optimum(data: str = 'cifar10') -> Truth:
  """The cell of the highest test accuracy on a data set of `DATA`."""
  check_choice('data set', data, DATA)
  return query(int(_table().column('test', data, 200).argmax()))


def truth(genotype: Genotype) -> dict[str, float]:
  """`Space.truth` of the space: numbers of a cell by name.

  `validation_DATA` and `test_DATA` are accuracies, `regret_DATA` what the test
  accuracy lacks to that of the best cell, `rank` as in `Truth`.

  Raises:
    UserError: if it is no cell of the benchmark.
  """
  found = query(genotype)
  return {
    **{f'validation_{data}': found.validation[data] for data in DATA},
    **{f'test_{data}': found.test[data] for data in DATA},
    **{
      f'regret_{data}': round(optimum(data).test[data] - found.test[data], 4)
      for data in DATA
    },
    'rank': found.rank,
  }


class _Table(NamedTuple):
  """The benchmark's file: rows are cells, in the benchmark's own order."""

  operations: tuple[str, ...]
  cells: np.ndarray  # (CELLS, edges): a number of an operation for each edge.
  accuracies: Mapping[str, np.ndarray]  # In hundredths of a percent.
  seeds: np.ndarray
  row_of: np.ndarray  # Of the number that a cell's operations spell.

  def column(self, split: str, data: str, epochs: int) -> np.ndarray:
    return self.accuracies[f'{_COLUMNS[split][data]}_{epochs}']


@functools.cache
def _table() -> _Table:
  with np.load(_FILE) as file:
    arrays = {name: file[name] for name in file.files}
  assert tuple(map(tuple, arrays['edges'])) == GRAPH.edges
  row_of = np.empty(CELLS, np.int64)
  row_of[_number(arrays['cells'])] = np.arange(CELLS)
  for array in (row_of, *arrays.values()):
    array.setflags(write=False)
  columns = arrays['accuracy_hundredths'].T
  return _Table(
    tuple(map(str, arrays['operations'])),
    arrays['cells'],
    dict(zip(map(str, arrays['accuracy_names']), columns)),
    arrays['seeds'],
    row_of,
  )


def _number(operations: np.ndarray) -> np.ndarray:
  """(..., edges) numbers of operations -> the number that they spell."""
  places = len(nasbench201_form.NAMES) ** np.arange(GRAPH.num_edges)
  return operations.astype(np.int64) @ places


def _index(cell: str | Genotype | int, table: _Table) -> int:
  if isinstance(cell, int):
    if not 0 <= cell < CELLS:
      raise UserError(
        f'Expected the index of a cell of NAS-Bench-201, from 0 to {CELLS - 1},'
        f' got {cell}.'
      )
    return cell
  # A genotype goes by its text, which says whether it is a cell of the space.
  text = nasbench201_form.to_text(cell) if isinstance(cell, Genotype) else cell
  genotype = nasbench201_form.from_text(text) if isinstance(text, str) else None
  if genotype is None:
    raise UserError(
      'Expected a cell of NAS-Bench-201 as |OP~0|+|OP~0|OP~1|+|OP~0|OP~1|OP~2|,'
      f' a genotype or an index, got {str(cell)[:60]!r}.'
    )
  names = [edge.operation for edge in genotype[KIND].edges]
  numbers = np.array([table.operations.index(name) for name in names])
  return int(table.row_of[_number(numbers)])
