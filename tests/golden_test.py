"""The published PyTorch code's numbers, reproduced.

Reads every file of every kind in the directory that OPP_DARTS_GOLDEN names, by
default golden/ beside this file, and takes all sizes from the files. The tests
of each kind are in a module of their own; here they come together.
`python tests/golden_test.py` prints the largest deviation of every quantity.
"""

import re

import pytest
from golden_bilevel import test_bilevel
from golden_files import close
from golden_networks import (
  test_genotypes,
  test_known_genotypes,
  test_network,
  test_param_counts,
)
from golden_operations import test_primitives
from golden_supernets import test_progressive, test_supernet

__all__ = [
  'close',
  'test_bilevel',
  'test_genotypes',
  'test_known_genotypes',
  'test_network',
  'test_param_counts',
  'test_primitives',
  'test_progressive',
  'test_supernet',
]


class Summary:
  """A pytest plugin that prints the largest deviations of each kind of file."""

  def __init__(self):
    self.largest = {}

  def pytest_runtest_logreport(self, report):
    for name, value in report.user_properties:
      if name == 'deviation':
        quantity, deviation, tolerance = value
        key = re.search(r'test_(\w+)', report.nodeid)[1], quantity, tolerance
        self.largest[key] = max(self.largest.get(key, 0.0), deviation)

  def pytest_terminal_summary(self, terminalreporter):
    terminalreporter.section('largest deviations')
    for (test, quantity, tolerance), deviation in self.largest.items():
      terminalreporter.write_line(
        f'{test:20} {quantity:24} {deviation:8.1e} (limit {tolerance:.0e})'
      )


if __name__ == '__main__':
  raise SystemExit(pytest.main([__file__], plugins=[Summary()]))
