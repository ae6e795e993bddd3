"""The published numbers: where they are, and how far off ours may be.

A deviation is the largest difference in an array, relative to the array's
largest value. float32 sums in another order account for 1e-5 of an output and
1e-4 of a gradient; a real fault is far larger. In float64 nothing is excused.
"""

import functools
import os
import pathlib

import numpy as np
import pytest

from opp_darts_jax.genotypes.graph import CellGraph
from opp_darts_jax.spaces.catalogue import SPACES

NAMED = os.environ.get('OPP_DARTS_GOLDEN')
GOLDEN = pathlib.Path(NAMED or pathlib.Path(__file__).with_name('golden'))
SPACE = SPACES['darts']
OUTPUT = 1e-5
GRADIENT = 1e-4
DOUBLE = 1e-12


def files(pattern):
  """A parameter for every file of a kind; ours have at least one."""
  paths = sorted(GOLDEN.glob(pattern))
  if not NAMED:
    assert paths, f'There is no {GOLDEN / pattern}.'
  return pytest.mark.parametrize('path', paths, ids=lambda p: p.stem)


def deviation(got, want):
  """The largest difference, relative to the largest of the expected values."""
  got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
  assert got.shape == want.shape
  return float(np.abs(got - want).max() / (np.abs(want).max() or 1.0))


@pytest.fixture
def close(record_property):
  """Asserts that an array is as expected, and records how far it is off."""

  def check(quantity, got, want, tolerance):
    found = deviation(got, want)
    record_property('deviation', (quantity, found, tolerance))
    assert found <= tolerance, f'{quantity} is off by {found:.1e}'

  return check


@functools.cache
def arrays(path):
  with np.load(path) as file:
    return dict(file)


def group(data, prefix):
  """The arrays under a prefix, by the rest of their names."""
  return {
    name.removeprefix(prefix): value
    for name, value in data.items()
    if name.startswith(prefix)
  }


def nhwc(images):
  return np.moveaxis(images, -3, -1)


def nodes_of(edges):
  """Nodes of a cell of DARTS with as many edges."""
  counts = (CellGraph(2, nodes).num_edges for nodes in range(1, 20))
  return 1 + list(counts).index(edges)


def tables(data, prefix, order=SPACE.names):
  """Alpha tables over the operations of the space, from columns in `order`."""
  columns = [SPACE.names.index(name) for name in order]

  def table(columns_EK):
    table_EK = np.zeros((len(columns_EK), len(SPACE.names)), columns_EK.dtype)
    table_EK[:, columns] = columns_EK
    return table_EK

  return {cell: table(data[prefix + cell]) for cell in SPACE.kinds}
