"""The largest eigenvalue of a matrix of which only products are known."""

from collections.abc import Callable

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

# Up to this size all products with unit vectors are as fast.
_SMALL = 24


def largest_eigenvalue(
  product: Callable[[np.ndarray], np.ndarray], size: int
) -> float:
  """Of a symmetric matrix; to three digits if it is large.

  By Lanczos iterations, from the same start whenever it is called.

  Args:
    product: a vector (size,) -> the matrix's product with it.
    size: of the matrix.
  """
  if size <= _SMALL:
    matrix = np.stack([product(unit) for unit in np.eye(size)])
    return float(np.linalg.eigvalsh((matrix + matrix.T) / 2)[-1])
  start = np.random.default_rng(0).standard_normal(size)
  operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
  found = eigsh(operator, 1, which='LA', v0=start, tol=1e-3)[0]
  return float(found[0])
